package sessiontest

import "errors"

// What a connection, a listener or a network of several processes can fail with,
// besides the errors of the operating system. They are wrapped.
var (
	// ErrHostTaken: the host listens in another process, and a host's ports are
	// given out by one.
	ErrHostTaken = errors.New("the host is another process's")
	// ErrNetworkMismatch: the process at the other end is on another network, of
	// that name or not.
	ErrNetworkMismatch = errors.New("the other end is on another network")
	// ErrProtocol: what came from the other end is not what this package says.
	ErrProtocol = errors.New("the other end breaks the protocol of the network")
)
