package transport

import (
	"io"
	"time"
)

// A Conn is an authenticated connection.
//
// One Read and one Write may run at the same time, and Close and CloseWrite at
// any time. Write writes everything or fails. Close is immediate, unblocks a
// running Read and Write, and may be called again.
type Conn interface {
	io.ReadWriteCloser

	// CloseWrite ends the direction to the peer, which reads io.EOF after
	// everything that was written; Read goes on.
	CloseWrite() error
}

const (
	// handshakeTime bounds a login when the caller's context does not.
	handshakeTime = 30 * time.Second
	// A refused peer is read from until it closes, at most so long and so
	// much, so that the verdict is not overtaken by a reset.
	drainTime  = 2 * time.Second
	drainBytes = 256 << 10
)
