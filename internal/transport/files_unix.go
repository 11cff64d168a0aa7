//go:build linux || darwin || freebsd

package transport

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rexec/rex/proto"
)

// errRights is about descriptors that a peer may not pass.
var errRights = errors.New("descriptors came that were not to be passed")

// writeFiles writes p, and descriptors with its first byte.
func writeFiles(conn *net.UnixConn, p []byte, files []int) error {
	var rights []byte
	if len(files) > 0 {
		rights = unix.UnixRights(files...)
	}
	n, _, err := conn.WriteMsgUnix(p, rights, nil)
	if err == nil && n < len(p) {
		_, err = conn.Write(p[n:])
	}
	return err
}

// readFiles reads bytes and the descriptors that came with them, which no
// process that is started meanwhile inherits.
func readFiles(conn *net.UnixConn, p []byte) (n int, files []int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, nil, err
	}
	oob := make([]byte, unix.CmsgSpace(4*proto.MaxFiles))
	var oobn, flags int
	var bad bool
	rerr := raw.Read(func(fd uintptr) bool {
		files, bad, err = nil, false, unix.EINTR
		for errors.Is(err, unix.EINTR) {
			n, oobn, flags, err = receiveClosing(int(fd), p, oob, func(oob []byte) { files, bad = passed(oob) })
		}
		return !errors.Is(err, unix.EAGAIN)
	})
	switch truncated := flags&unix.MSG_CTRUNC != 0; {
	case rerr != nil:
		err = rerr
	case err != nil:
		err = os.NewSyscallError("recvmsg", err)
	case n == 0 && len(p) > 0:
		err = io.EOF
	case bad || truncated && oobn >= unix.CmsgSpace(4*proto.MaxFiles):
		err = errRights
	case truncated:
		err = fmt.Errorf("descriptors that were passed have no room here: %w", unix.EMFILE)
	}
	if err != nil {
		closeAll(files)
		return max(n, 0), nil, err
	}
	return n, files, nil
}

// passed returns the descriptors of control messages, and whether there is
// anything else among those.
func passed(oob []byte) (files []int, bad bool) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	bad = err != nil
	for i := range msgs {
		got, ok := parseRights(&msgs[i])
		files = append(files, got...)
		bad = bad || !ok
	}
	return files, bad
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
