package transport

import (
	"crypto/tls"
	"sync"
	"time"

	"github.com/rexec/rex/proto"
)

// maxEarly bounds what is written before the server has judged the login, in
// bytes: it stays in the server's socket until then.
const maxEarly = 64 << 10

// A verdictConn is a connection whose login was sent and not yet answered. The
// answer is taken from the front of what is read.
type verdictConn struct {
	*tls.Conn
	trace func(step string, took time.Duration)
	once  sync.Once
	err   error

	early int // Write only
	open  bool
}

// settle waits for the verdict. It may be called concurrently; whoever comes
// first reads it.
func (c *verdictConn) settle() error {
	c.once.Do(func() {
		start := time.Now()
		c.err = c.judge()
		c.trace("verdict", time.Since(start))
		_ = c.SetDeadline(time.Time{})
	})
	return c.err
}

func (c *verdictConn) judge() error {
	result, err := proto.ReadAuthResult(c.Conn)
	if err != nil {
		return explainResult(err)
	}
	if result.Code != proto.AuthOK {
		return refused(result)
	}
	_, err = proto.ParseResumeGrant(result.Ext) // nothing can be resumed yet
	return explainResult(err)
}

// Read returns what comes after the verdict, or that as an error if it was no.
func (c *verdictConn) Read(p []byte) (int, error) {
	if err := c.settle(); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write writes at most 64 KiB before the verdict.
func (c *verdictConn) Write(p []byte) (int, error) {
	if !c.open && c.early+len(p) > maxEarly {
		if err := c.settle(); err != nil {
			return 0, err
		}
		c.open = true
	}
	c.early = min(c.early+len(p), maxEarly)
	return c.Conn.Write(p)
}
