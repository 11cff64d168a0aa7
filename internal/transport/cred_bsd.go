//go:build darwin || freebsd

package transport

import (
	"os"

	"golang.org/x/sys/unix"
)

// credentialsPassed: these systems tell who connected, not who wrote.
const credentialsPassed = false

func passCredentials(int, bool) error { return nil }

// peerCredentials is who called connect, or listen if this is the client
// (LOCAL_PEERCRED of unix(4), what getpeereid(3) asks for).
func peerCredentials(fd int) (PeerAddr, error) {
	const solLocal = 0
	c, err := unix.GetsockoptXucred(fd, solLocal, unix.LOCAL_PEERCRED)
	if err != nil {
		return PeerAddr{}, os.NewSyscallError("getsockopt", err)
	}
	return PeerAddr{UID: int(c.Uid)}, nil
}

func messageUID(*unix.SocketControlMessage) (int, bool) { return 0, false }
