package transport

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// receiveClosing is recvmsg(2) where what comes is closed on exec before a
// process can be started. take gets the control messages, unless there was an
// error. fd does not block.
func receiveClosing(fd int, p, oob []byte, take func(oob []byte)) (n, oobn, flags int, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	n, oobn, flags, _, err = unix.Recvmsg(fd, p, oob, 0)
	if err != nil {
		return n, oobn, flags, err
	}
	take(oob[:oobn])
	files, _ := passed(oob[:oobn])
	for _, file := range files {
		unix.CloseOnExec(file)
	}
	return n, oobn, flags, nil
}
