//go:build linux || darwin || freebsd

package transport

import "net/netip"

// Source is what counts as one source of connections, as [Peer] says it: for an
// address of TCP, or, if that is not valid, for a user of this machine.
func Source(remote netip.Addr, uid int) string {
	if remote.IsValid() {
		return network(remote.Unmap())
	}
	return PeerAddr{UID: uid}.String()
}
