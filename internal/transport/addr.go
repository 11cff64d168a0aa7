package transport

import (
	"fmt"
	"strconv"
)

// A PeerAddr is the address of the other end of a Unix socket: the process
// that connected, as the kernel saw it then.
type PeerAddr struct {
	UID int
	PID int // for the log only, since ids are used again; 0 if unknown
}

// Network returns "unix".
func (PeerAddr) Network() string { return "unix" }

// String returns the ids, as in "uid=1000,pid=4242".
func (a PeerAddr) String() string {
	if a.PID > 0 {
		return fmt.Sprintf("uid=%d,pid=%d", a.UID, a.PID)
	}
	return fmt.Sprintf("uid=%d", a.UID)
}

func (a PeerAddr) source() string { return strconv.Itoa(a.UID) }
