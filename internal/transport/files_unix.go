//go:build linux || darwin || freebsd

package transport

import (
	"errors"
	"io"
	"net"

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

// readFiles reads bytes and the descriptors that came with them, close-on-exec
// from the start where the system can do that, and always before a process is
// started ([net.UnixConn.ReadMsgUnix]).
func readFiles(conn *net.UnixConn, p []byte) (n int, files []int, err error) {
	oob := make([]byte, unix.CmsgSpace(4*proto.MaxFiles))
	n, oobn, flags, _, err := conn.ReadMsgUnix(p, oob)
	files, bad := passed(oob[:oobn])
	switch {
	case err == nil && (bad || flags&unix.MSG_CTRUNC != 0):
		err = errRights
	case errors.Is(err, io.EOF), err == nil && n == 0 && len(p) > 0:
		err = io.EOF
	}
	if err != nil {
		closeAll(files)
		return n, nil, err
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
