//go:build linux || freebsd

package transport

import "golang.org/x/sys/unix"

// receiveClosing is recvmsg(2) where what comes is closed on exec from the
// start. take gets the control messages, unless there was an error.
func receiveClosing(fd int, p, oob []byte, take func(oob []byte)) (n, oobn, flags int, err error) {
	n, oobn, flags, _, err = unix.Recvmsg(fd, p, oob, unix.MSG_CMSG_CLOEXEC)
	if err == nil {
		take(oob[:oobn])
	}
	return n, oobn, flags, err
}
