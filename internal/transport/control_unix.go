//go:build linux || darwin || freebsd

package transport

import (
	"errors"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// maxRights is how many descriptors one message can carry (SCM_MAX_FD of
// unix(7) is 253).
const maxRights = 253

// A loginReader reads the bytes of a login and makes sure that each of them
// was written by uid, where the system tells. It refuses descriptors. Only
// what is asked for is read: what follows the login belongs to the session.
type loginReader struct {
	conn *net.UnixConn
	uid  int
	oob  []byte
}

func (r *loginReader) Read(p []byte) (int, error) {
	if r.oob == nil {
		r.oob = make([]byte, unix.CmsgSpace(64)+unix.CmsgSpace(4*maxRights))
	}
	n, oobn, flags, _, err := r.conn.ReadMsgUnix(p, r.oob)
	fds, cerr := inspect(r.oob[:oobn], flags, n > 0, r.uid)
	closeAll(fds)
	switch {
	case errors.Is(err, io.EOF), err == nil && n == 0:
		return 0, io.EOF
	case err != nil:
		return n, err
	case cerr != nil:
		return 0, cerr
	}
	return n, nil
}

// inspect judges the control messages that came with bytes of a login, and
// returns the descriptors among them, which the caller closes.
func inspect(oob []byte, flags int, data bool, uid int) (fds []int, err error) {
	msgs, perr := unix.ParseSocketControlMessage(oob)
	known := !credentialsPassed || !data
	for i := range msgs {
		if got, ok := parseRights(&msgs[i]); ok {
			fds = append(fds, got...)
			err = denial("a login carries no descriptors")
			continue
		}
		sender, ok := messageUID(&msgs[i])
		switch {
		case !ok:
			err = denial("unknown control message in a login")
		case data && sender != uid:
			err = denial("the login was not written by the process that connected")
		case data:
			known = true
		}
	}
	switch {
	case err != nil:
	case perr != nil || flags&unix.MSG_CTRUNC != 0:
		err = denial("damaged control message in a login")
	case !known:
		err = denial("the login came without credentials")
	}
	return fds, err
}

func parseRights(m *unix.SocketControlMessage) ([]int, bool) {
	if m.Header.Level != unix.SOL_SOCKET || m.Header.Type != unix.SCM_RIGHTS {
		return nil, false
	}
	whole := *m
	whole.Data = m.Data[:len(m.Data)&^3] // the parser would panic
	fds, _ := unix.ParseUnixRights(&whole)
	return fds, true
}
