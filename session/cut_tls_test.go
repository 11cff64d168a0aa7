//go:build unix

package session_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/rexec/rex/mux"
	"github.com/rexec/rex/mux/muxtest"
)

// A connection that ends between two records of TLS looks like one that ended: crypto/tls says io.EOF then. It is a
// loss all the same, and so is an end inside a record.
func TestCutAnyTLSRecord(t *testing.T) {
	handler := newHandler(t, "")
	const enough = 16 // more records than such a command needs in either direction
	step := 1
	if testing.Short() {
		step = 5
	}
	for name, cut := range map[string]func(c *tlsCut, at *recordCut){
		"write": func(c *tlsCut, at *recordCut) { c.out = at },
		"read":  func(c *tlsCut, at *recordCut) { c.in = at },
	} {
		t.Run(name, func(t *testing.T) {
			var seen cutResults
			for n := 0; n < enough; n += step {
				for _, extra := range []int{0, 3, 20} {
					asked := &counter{Handler: handler}
					out, stdin, err := cutUnderTLS(t, asked, func(c *tlsCut) { cut(c, &recordCut{left: n, extra: extra}) })
					where := fmt.Sprintf("cut after %d records and %d bytes", n, extra)
					seen.judge(t, where, asked, out, stdin, err)
					if _, lost := errors.AsType[*mux.LinkLostError](err); err != nil && !lost {
						t.Errorf("%s: no loss of the link: %v", where, err)
					}
				}
			}
			seen.report(t)
		})
	}
}

// cutUnderTLS runs cat over a link over TLS, whose connection is cut.
func cutUnderTLS(t *testing.T, h *counter, cut func(c *tlsCut)) (out, stdin string, err error) {
	t.Helper()
	near, far := socketpair(t)
	under := &tlsCut{Conn: near}
	client, server := muxtest.TLSOver(t, under, far)
	cut(under)
	return catOver(t, h, mux.NewLink(client, nil), mux.NewLink(server, nil))
}

// A tlsCut is a connection under TLS. It is cut where in and out say, which are set when nothing runs.
type tlsCut struct {
	net.Conn
	in, out *recordCut
	once    sync.Once
}

func (c *tlsCut) Read(p []byte) (int, error) {
	if c.in == nil {
		return c.Conn.Read(p)
	}
	if p = p[:min(len(p), c.in.room())]; len(p) == 0 {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p)
	c.in.pass(p[:n])
	return n, err
}

func (c *tlsCut) Write(p []byte) (total int, err error) {
	if c.out == nil {
		return c.Conn.Write(p)
	}
	for len(p) > 0 {
		n := min(len(p), c.out.room())
		if n == 0 {
			_ = c.Close() // the other end sees all that was written, and then the end
			return total, io.ErrClosedPipe
		}
		if n, err = c.Conn.Write(p[:n]); err != nil {
			return total, err
		}
		c.out.pass(p[:n])
		total += n
		p = p[n:]
	}
	return total, nil
}

func (c *tlsCut) Close() (err error) {
	c.once.Do(func() { err = c.Conn.Close() })
	return err
}

// A recordCut follows one direction of TLS up to where it is cut.
type recordCut struct {
	left  int // whole records that pass
	extra int // bytes that pass of the next one
	head  []byte
	body  int // bytes of the current record that are still to come
}

// room is how many bytes may pass at most before it has to be asked again.
func (r *recordCut) room() int {
	switch {
	case r.left == 0:
		return r.extra
	case r.body > 0:
		return r.body
	}
	return 5 - len(r.head)
}

// pass notes what passed.
func (r *recordCut) pass(p []byte) {
	switch {
	case len(p) == 0:
	case r.left == 0:
		r.extra -= len(p)
	case r.body > 0:
		if r.body -= len(p); r.body == 0 {
			r.left--
		}
	default:
		if r.head = append(r.head, p...); len(r.head) == 5 {
			r.body = int(r.head[3])<<8 | int(r.head[4])
			r.head = r.head[:0]
		}
	}
}
