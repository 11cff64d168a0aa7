package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/rexec/rex/proto"
)

var (
	errExtraFiles = errors.New("session: ExtraFiles need a Unix socket whose server passes descriptors on, Stdin, Stdout and Stderr that are files, and no OrphanKeep")
	errNotFiles   = errors.New("session: Stdin, Stdout and Stderr must be files here, and there is neither a terminal nor a service nor a kept command")
)

// passing is how a client gives commands descriptors instead of streams.
type passing struct {
	// dial connects, asks for the command with a frame, and passes descriptors
	// with its first byte; nil where that cannot be done.
	dial func(ctx context.Context, first []byte, files []int) (io.ReadWriteCloser, error)
	off  atomic.Bool // the server's handler does not take them

	mu      sync.Mutex
	closing ending                   // of connections that are being made: at Close
	bonds   map[*passedBond]struct{} // of commands that run
}

// context ends when the client is closed.
func (p *passing) context() context.Context {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closing.context()
}

// add notes a command that runs, unless the client is closed.
func (p *passing) add(b *passedBond) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing.context().Err() != nil {
		return false
	}
	if p.bonds == nil {
		p.bonds = make(map[*passedBond]struct{})
	}
	p.bonds[b] = struct{}{}
	return true
}

func (p *passing) remove(b *passedBond) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.bonds, b)
}

// close ends the connections of the commands that run, or are about to.
func (p *passing) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closing.end()
	for b := range p.bonds {
		_ = b.conn.Close()
	}
}

// passes reports whether the command gets the caller's own files. One without
// any is better off in the session that there is, and one that is to be kept is
// not to fall when the reader of its output leaves.
func (c *Cmd) passes() bool {
	p := &c.client.passing
	if p.dial == nil || p.off.Load() || c.kind == kindService || c.Orphan == OrphanKeep || c.Term != nil || c.stdinPipe != nil || c.stdoutPipe != nil || c.stderrPipe != nil {
		return false
	}
	some := c.Stdin != nil || c.Stdout != nil || c.Stderr != nil || len(c.ExtraFiles) > 0
	return (some || c.client.mux == nil) && canPass(c.Stdin) && canPass(c.Stdout) && canPass(c.Stderr)
}

func canPass(v any) bool {
	f, ok := v.(*os.File)
	return v == nil || ok && CanPass(f)
}

// beginPassed asks for the command on a connection of its own and waits for the
// answer.
func (c *Cmd) beginPassed(ctx context.Context) (*running, error) {
	e := c.exec()
	e.ID = 1
	files, err := c.nameFiles(e)
	if err != nil {
		return nil, err
	}
	if code, message := e.CheckPassed(len(files)); code != "" {
		return nil, &Error{Name: c.Path, Code: code, Message: message}
	}
	frame, err := proto.Append(nil, &proto.Message{Exec: e})
	if err != nil {
		return nil, err
	}
	numbers := make([]int, len(files))
	for i, f := range files {
		if numbers[i], err = descriptor(f); err != nil {
			return nil, err
		}
	}
	conn, err := c.client.passing.connect(ctx, frame, numbers)
	runtime.KeepAlive(files)
	if err != nil {
		return nil, c.beginError(err)
	}
	p := &passedBond{client: c.client, conn: conn}
	if !c.client.passing.add(p) {
		_ = conn.Close()
		return nil, c.client.lost()
	}
	run := newRunning(c, ctx, p)
	run.id, run.status = e.ID, p
	close(run.gaveIn)
	close(run.gotOut)
	go run.readStatus()
	if err := run.awaitStarted(ctx); err != nil {
		return nil, err
	}
	return run, nil
}

// connect dials until ctx ends or the client is closed.
func (p *passing) connect(ctx context.Context, first []byte, files []int) (io.ReadWriteCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.context(), cancel)()
	return p.dial(ctx, first, files)
}

// nameFiles has e name the command's files, and returns each of them once.
func (c *Cmd) nameFiles(e *proto.Exec) (files []*os.File, err error) {
	places := make(map[*os.File]uint32)
	place := func(v any) uint32 {
		f, ok := v.(*os.File)
		if !ok {
			return 0
		}
		if places[f] == 0 {
			files = append(files, f)
			places[f] = uint32(len(files))
		}
		return places[f]
	}
	e.Stdin, e.Stdout, e.Stderr = place(c.Stdin), place(c.Stdout), place(c.Stderr)
	for _, f := range c.ExtraFiles {
		if err := isExtra(f); err != nil {
			return nil, err
		}
		e.Files = append(e.Files, place(f))
	}
	if max(len(files), len(e.Files)) > proto.MaxFiles {
		return nil, fmt.Errorf("session: more than %d files", proto.MaxFiles)
	}
	return files, nil
}

// passedBond is a connection for one command: status comes from it, and signals
// go to it.
type passedBond struct {
	client *Client
	conn   io.ReadWriteCloser

	writing sync.Mutex // one frame at a time

	mu    sync.Mutex
	ended error // why nothing comes any more
}

// Read reads status.
func (p *passedBond) Read(b []byte) (int, error) {
	n, err := p.conn.Read(b)
	if err != nil {
		p.mu.Lock()
		p.ended = err
		p.mu.Unlock()
	}
	return n, err
}

// CancelRead leaves, whereupon the server applies the orphan policy.
func (p *passedBond) CancelRead() error { return p.conn.Close() }

func (p *passedBond) send(m *proto.Message) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	return proto.Write(p.conn, m)
}

// Err is why the connection ended before the command's record came.
func (p *passedBond) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.ended == nil:
		return nil
	case errors.Is(p.ended, io.EOF):
		return connLost(errors.New("the server closed it"))
	case errors.Is(p.ended, net.ErrClosed):
		return connLost(ErrClosed)
	}
	return connLost(p.ended)
}

func (p *passedBond) forget(uint64) {}

func (p *passedBond) leave() {
	p.client.passing.remove(p)
	_ = p.conn.Close()
}
