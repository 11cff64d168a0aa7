package transport

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// silence is how long the peer's kernel may acknowledge nothing while there
	// are bytes that it should.
	silence = 45 * time.Second
	// maxProbes is how many times in a row it may fail to answer whether its
	// window has opened.
	maxProbes = 3
	// notSent bounds what the kernel holds and has not sent: what is written
	// next must not queue behind it.
	notSent = 64 << 10
)

// tune sets what the net package has no name for.
func tune(conn net.Conn) {
	if c, ok := conn.(*net.TCPConn); ok {
		_ = controlTCP(c, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSent) })
	}
}

// watcher returns a function that fails when the peer's kernel is silent, or
// nil if conn cannot tell.
func watcher(conn net.Conn) func() error {
	c, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	return func() error {
		info, err := tcpInfo(c)
		if err != nil {
			return nil // it is closed, which its reader knows better
		}
		return judgeSilence(info)
	}
}

func tcpInfo(c *net.TCPConn) (info *unix.TCPInfo, err error) {
	err = controlTCP(c, func(fd int) (err error) {
		info, err = unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		return err
	})
	return info, err
}

// roundTrip is what the kernel thinks it takes to the peer and back; 0 if it
// does not know.
func roundTrip(conn net.Conn) time.Duration {
	c, ok := conn.(*net.TCPConn)
	if !ok {
		return 0
	}
	info, err := tcpInfo(c)
	if err != nil {
		return 0
	}
	return time.Duration(info.Rtt) * time.Microsecond
}

func judgeSilence(info *unix.TCPInfo) error {
	last := time.Duration(info.Last_ack_recv) * time.Millisecond
	if info.Unacked > 0 && last > silence || info.Probes >= maxProbes && info.Notsent_bytes > 0 {
		return &SilentPeerError{For: last}
	}
	return nil
}

func controlTCP(c syscall.Conn, f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return control(raw, f)
}
