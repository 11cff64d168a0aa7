//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	l := &longLink{}
	flag.DurationVar(&l.rtt, "rtt", 50*time.Millisecond, "round-trip time")
	near := flag.String("near", "rexnear", "namespace with the address 10.91.0.1")
	far := flag.String("far", "rexfar", "namespace with the address 10.91.0.2")
	flag.Parse()
	if err := l.run(*near, *far); err != nil {
		fmt.Fprintln(os.Stderr, "longlink: error:", err)
		os.Exit(1)
	}
}

// A longLink carries packets between two hosts, each after half the round trip.
type longLink struct {
	rtt time.Duration
	cut atomic.Bool
}

func (l *longLink) run(near, far string) (err error) {
	var ends [2]*os.File
	for i, name := range []string{near, far} {
		defer func() { err = errors.Join(err, ip("netns", "delete", name)) }()
		if ends[i], err = newHost(name, fmt.Sprintf("10.91.0.%d/24", i+1)); err != nil {
			return err
		}
		defer ends[i].Close()
	}
	go l.carry(ends[0], ends[1]) // until the process ends
	go l.carry(ends[1], ends[0])
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTERM, syscall.SIGINT)
	released := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(released)
	}()
	fmt.Println("ready")
	for {
		select {
		case <-released:
			return nil
		case sig := <-signals:
			if sig != syscall.SIGUSR1 && sig != syscall.SIGUSR2 {
				return nil
			}
			l.cut.Store(sig == syscall.SIGUSR1)
		}
	}
}

// newHost makes a namespace with a TUN device and returns the device.
func newHost(name, address string) (*os.File, error) {
	device := "t" + name
	f, err := openTUN(device)
	if err != nil {
		return nil, err
	}
	for _, command := range []string{
		"netns add " + name,
		"link set dev " + device + " netns " + name,
		"-netns " + name + " address add " + address + " dev " + device,
		"-netns " + name + " link set dev " + device + " txqueuelen 10000 up",
		"-netns " + name + " link set dev lo up",
	} {
		if err := ip(strings.Fields(command)...); err != nil {
			_ = f.Close()
			return nil, err
		}
	}
	return f, nil
}

// openTUN makes a device whose packets are read from and written to the file.
func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("open /dev/net/tun", err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = os.NewSyscallError("ioctl TUNSETIFF", unix.IoctlIfreq(fd, unix.TUNSETIFF, req))
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// A packet is on its way until arrives.
type packet struct {
	arrives time.Time
	data    []byte
}

// carry takes packets from one host to the other until either device closes.
// What does not fit on the way is lost, as with any queue.
func (l *longLink) carry(from, to *os.File) {
	way := make(chan packet, 16384)
	go func() { // ends with the channel
		for p := range way {
			time.Sleep(time.Until(p.arrives))
			if !l.cut.Load() {
				_, _ = to.Write(p.data)
			}
		}
	}()
	defer close(way)
	buf := make([]byte, 65536)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		select {
		case way <- packet{time.Now().Add(l.rtt / 2), append([]byte(nil), buf[:n]...)}:
		default:
		}
	}
}
