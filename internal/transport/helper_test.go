//go:build linux || darwin || freebsd

package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
)

// helperDial logs in at a socket, says a line and prints the answer.
func helperDial(args []string) error {
	c, err := DialUnix(context.Background(), args[0], "")
	if err != nil {
		return err
	}
	defer c.Close()
	fmt.Fprintln(c, "hello")
	if err := c.CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, c)
	return err
}

// helperSay copies its input to the connection on descriptor 3.
func helperSay([]string) error {
	_, err := io.Copy(os.NewFile(3, "conn"), os.Stdin)
	return err
}

// helperAccept listens while it has no descriptors left, until it has said so,
// and then gives some back.
func helperAccept(args []string) error {
	waits := make(chan struct{}, 1)
	l, err := ListenUnix(args[0], UnixOptions{Log: slog.New(slog.NewTextHandler(notice(waits), nil))})
	if err != nil {
		return err
	}
	defer l.Close()
	l.maxFD = 1 << 20 // the reserve is tested elsewhere
	var held []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if errors.Is(err, syscall.EMFILE) {
			break
		}
		if err != nil {
			return err
		}
		held = append(held, f)
	}
	go func() {
		<-waits
		fmt.Println("waits")
		for _, f := range held {
			f.Close()
		}
	}()
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	return c.(*UnixConn).Handshake(context.Background())
}

// notice is a writer that tells of its first line.
type notice chan struct{}

func (n notice) Write(p []byte) (int, error) {
	select {
	case n <- struct{}{}:
	default:
	}
	return len(p), nil
}

// helperEcho copies its input to its output, and says so on standard error
// when it ends.
func helperEcho([]string) error {
	_, err := io.Copy(os.Stdout, os.Stdin)
	fmt.Fprintln(os.Stderr, "echo ended")
	return err
}

// helperHalfEnd closes its output, and reports on standard error what it reads
// afterwards.
func helperHalfEnd([]string) error {
	fmt.Print("bye")
	syscall.Shutdown(1, syscall.SHUT_WR)
	os.Stdout.Close()
	_, err := io.Copy(os.Stderr, os.Stdin)
	return err
}

// helperStay does not end by itself, nor by SIGTERM if told so.
func helperStay(args []string) error {
	ignored := make(chan os.Signal, 1)
	if args[0] == "stubborn" {
		signal.Notify(ignored, syscall.SIGTERM)
	}
	fmt.Print("ready")
	select {}
}

// helperListen listens until it is killed.
func helperListen(args []string) error {
	l, err := ListenUnix(args[0], UnixOptions{})
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Println("listening")
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		c.Close()
	}
}

// helperStdio echoes over its standard streams as a connection. What it prints
// must not get into it.
func helperStdio([]string) error {
	c, err := Stdio()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return err
	}
	defer c.Close()
	fmt.Println("stray output")
	if n, err := os.Stdin.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return fmt.Errorf("standard input is still there: %d, %w", n, err)
	}
	if _, err := io.Copy(c, c); err != nil {
		return err
	}
	if err := c.CloseWrite(); err != nil {
		return err
	}
	if _, err := c.Write([]byte("late")); !errors.Is(err, net.ErrClosed) && !errors.Is(err, syscall.EPIPE) {
		return fmt.Errorf("write after CloseWrite: %w", err)
	}
	fmt.Fprintln(os.Stderr, "stdio ended")
	return nil
}
