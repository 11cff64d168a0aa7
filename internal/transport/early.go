package transport

import (
	"context"
	"net"
	"strconv"
	"sync"
	"time"
)

// An Early is a connection that is made while its caller gets ready for
// [DialTCP], for example reads its keys, of which a login by ed25519 costs a
// millisecond.
//
// Its goroutine ends when there is a connection, or none; Discard waits for that.
type Early struct {
	cancel context.CancelFunc
	done   chan struct{} // closed after the fields below are set
	conn   net.Conn
	took   time.Duration
	made   time.Time
	err    error

	once sync.Once // it is taken or discarded
}

// ConnectEarly begins to connect. dial is as in [TCPOptions]; ctx is for the
// connecting alone. The result is for TCPOptions.Early, and is to be discarded
// when it is not used.
func ConnectEarly(ctx context.Context, host string, port int, dial func(ctx context.Context, network, addr string) (net.Conn, error)) *Early {
	ctx, cancel := context.WithCancel(ctx)
	e := &Early{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(e.done)
		begin := time.Now()
		e.conn, e.err = dial(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		e.made = time.Now()
		e.took = e.made.Sub(begin)
	}()
	return e
}

// Discard closes the connection unless it was taken. It may be called on nil.
func (e *Early) Discard() {
	if e == nil {
		return
	}
	e.cancel()
	e.once.Do(func() {
		<-e.done
		if e.conn != nil {
			_ = e.conn.Close()
		}
	})
}

// take returns the connection, or why there is none; ok is false if it was taken
// already or has waited so long that the server may have lost its patience.
func (e *Early) take(patience time.Duration) (conn net.Conn, took time.Duration, err error, ok bool) {
	if e == nil {
		return nil, 0, nil, false
	}
	e.once.Do(func() {
		<-e.done
		conn, took, err, ok = e.conn, e.took, e.err, true
		if conn != nil && time.Since(e.made) > patience {
			_ = conn.Close()
			ok = false
		}
	})
	return conn, took, err, ok
}
