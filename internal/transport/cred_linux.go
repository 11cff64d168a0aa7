package transport

import (
	"os"

	"golang.org/x/sys/unix"
)

// credentialsPassed says that every message of a login comes with the
// credentials of who wrote it. SO_PEERCRED alone tells who connected, and a
// connected descriptor can be handed to another user.
const credentialsPassed = true

// passCredentials switches SCM_CREDENTIALS on or off. It must be on before
// listen: what is sent to a socket without it carries the overflow uid.
func passCredentials(fd int, on bool) error {
	v := 0
	if on {
		v = 1
	}
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, v))
}

// peerCredentials is who called connect, or listen if this is the client.
func peerCredentials(fd int) (PeerAddr, error) {
	c, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return PeerAddr{}, os.NewSyscallError("getsockopt", err)
	}
	return PeerAddr{UID: int(c.Uid), PID: int(c.Pid)}, nil
}

// messageUID is the uid in a control message that carries credentials.
func messageUID(m *unix.SocketControlMessage) (int, bool) {
	if m.Header.Level != unix.SOL_SOCKET || m.Header.Type != unix.SCM_CREDENTIALS {
		return 0, false
	}
	if len(m.Data) < unix.SizeofUcred { // the parser would panic
		return 0, false
	}
	c, err := unix.ParseUnixCredentials(m)
	if err != nil {
		return 0, false
	}
	return int(c.Uid), true
}
