//go:build linux || darwin || freebsd

package transport

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// DialCommand starts cmd, whose Stdin and Stdout must be nil, with one end of a
// socket pair as both, and returns the other end, a [*CommandConn]. cmd's other
// fields are the caller's: Stderr, and SysProcAttr if the command is not to get
// the signals of the caller's terminal. ctx bounds the start only.
//
// Close closes the connection, by which the command should end. It is sent
// SIGTERM if it has not after 2 s, and killed 8 s later. It is waited for in
// the background; that goroutine ends with the command.
func DialCommand(ctx context.Context, cmd *exec.Cmd) (Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if cmd.Stdin != nil || cmd.Stdout != nil {
		return nil, errTaken
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	cmd.Stdin, cmd.Stdout = theirs, theirs
	child, err := startChild(cmd)
	if err != nil {
		_ = ours.Close()
		return nil, err
	}
	go child.wait()
	return &CommandConn{conn: ours, child: child}, nil
}

// socketPair returns two connected sockets: one for this process, one to hand
// to a child, which is in blocking mode as programs expect.
func socketPair() (*net.UnixConn, *os.File, error) {
	// No fork may happen before both are closed on exec, where that takes a
	// second system call.
	syscall.ForkLock.RLock()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "socketpair"), os.NewFile(uintptr(fds[1]), "socketpair")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		_ = theirs.Close()
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	return conn.(*net.UnixConn), theirs, nil
}
