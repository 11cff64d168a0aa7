package sessiontest

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"
	"time"
)

// Join joins a network of several processes on this machine, which find each
// other in a directory: one that is the user's own and closed to others, and is
// made if it is not there: t.TempDir()+"/net" in a test. There may be several networks in one; the name says
// which it is. The caller closes the network; the end of the process does too.
//
// A host listens in one process, from its first Listen until that process leaves
// the network: Listen on it in another is [ErrHostTaken]. So its ports are as
// predictable as in one process. Everybody may dial from every host, and ports of
// dialers are distinct within a process. A host is there for others once it has
// listened.
//
// Faults are the network's: they act on connections of all its processes, and
// Cut and the others return when all heed them, or do not answer for 5 s each.
// They panic if the directory cannot be written. The first process on a network
// that nobody is on finds no faults. What DropAfter counts is what has arrived,
// so the sender may have written more than that.
//
// It needs flock(2); where there is none, as on Windows, the error wraps
// [errors.ErrUnsupported].
func Join(dir, network string) (*Network, error) {
	fail := func(err error) (*Network, error) {
		return nil, fmt.Errorf("sessiontest: join network %q: %w", network, err)
	}
	if err := CheckName(network); err != nil {
		return fail(err)
	}
	if !supported {
		return fail(errors.ErrUnsupported)
	}
	registry, err := openRegistry(dir, network)
	if err != nil {
		return fail(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fail(err)
	}
	m := &member{network: newNetwork(), name: network, registry: registry, listener: tcp, entries: make(map[string]*entry)}
	m.network.member = m
	m.ctx, m.cancel = context.WithCancel(context.Background())
	if err := m.enter(); err != nil {
		return fail(errors.Join(err, m.network.Close()))
	}
	return m.network, nil
}

// Close ends the network in this process: its listeners and connections are
// closed, its hosts are free for others. A network of [NewNetwork] is closed by
// the end of its test. Close may be called more than once.
func (n *Network) Close() error {
	n.end()
	if n.member == nil {
		return nil
	}
	return n.member.leave()
}

// A member is one process's part in a network of several.
//
// Its goroutines: one accepts, one for each greeting, one feeds each connection,
// and all end with leave, which waits for them.
type member struct {
	network  *Network
	name     string // the network's
	token    string
	registry *registry
	listener net.Listener // where this process is reached
	running  sync.WaitGroup
	ctx      context.Context // ends with leave
	cancel   context.CancelFunc
	loading  sync.Mutex // held to take over the file of faults
	leaving  sync.Once

	mu      sync.Mutex // nobody waits for the registry's lock with it
	left    bool
	self    *entry            // of this process
	entries map[string]*entry // of its hosts
}

// enter makes this process known. Whoever changes faults tells those that are
// known, so they are loaded afterwards.
func (m *member) enter() error {
	err := m.registry.locked(context.Background(), func() error {
		if err := m.prepare(); err != nil {
			return err
		}
		var err error
		m.self, err = m.registry.hold(processes, fmt.Sprintf("%d.%s", os.Getpid(), rand.Text()), m.listener.Addr().String())
		return err
	})
	if err != nil {
		return err
	}
	m.running.Go(m.accept)
	return m.load()
}

// prepare takes over a network, or makes it. The caller has the lock.
func (m *member) prepare() error {
	if err := m.registry.sweep(); err != nil {
		return err
	}
	living, err := m.registry.list(processes)
	if err != nil {
		return err
	}
	if len(living) == 0 {
		if err := m.registry.write("faults", "[]"); err != nil {
			return err
		}
	}
	token, err := os.ReadFile(m.registry.path("token"))
	if errors.Is(err, fs.ErrNotExist) {
		token = []byte(rand.Text())
		err = m.registry.write("token", string(token))
	}
	m.token = string(token)
	return err
}

// leave undoes enter and all that came after it, when it is called first.
func (m *member) leave() (err error) {
	m.leaving.Do(func() {
		m.mu.Lock()
		m.left = true // who claims a host just now has it released below
		m.mu.Unlock()
		err = m.registry.locked(context.Background(), m.releaseLocked)
		m.cancel()
		err = errors.Join(err, m.listener.Close())
		m.running.Wait()
	})
	return err
}

func (m *member) releaseLocked() (err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.entries {
		err = errors.Join(err, e.release())
	}
	if m.self != nil {
		err = errors.Join(err, m.self.release())
	}
	return err
}

// claim makes a host this process's. It may be called on no member.
func (m *member) claim(ctx context.Context, host string) error {
	if m == nil {
		return nil
	}
	if own, err := m.claimed(host); own || err != nil {
		return err
	}
	return m.registry.locked(ctx, func() error { return m.claimLocked(host) })
}

// claimed reports whether a host is this process's already.
func (m *member) claimed(host string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left {
		return false, net.ErrClosed
	}
	return m.entries[host] != nil, nil
}

func (m *member) claimLocked(host string) error {
	if own, err := m.claimed(host); own || err != nil { // by now
		return err
	}
	if _, taken := m.registry.look(hosts, host); taken {
		return ErrHostTaken
	}
	e, err := m.registry.hold(hosts, host, m.listener.Addr().String())
	if err == nil {
		m.mu.Lock()
		m.entries[host] = e
		m.mu.Unlock()
	}
	return err
}

// knows reports whether a host listens in any process. It may be called on no
// member.
func (m *member) knows(host string) bool {
	if m == nil || !isName(host) {
		return false
	}
	_, alive := m.registry.look(hosts, host)
	return alive
}

// dial connects to a host of whatever process.
func (m *member) dial(ctx context.Context, l *link, from, to Addr, free func()) (*conn, error) {
	address, alive := m.registry.look(hosts, to.Host)
	if !alive {
		return nil, answers["refused"]
	}
	tcp, err := m.reach(ctx, address, hello{network: m.name, token: m.token, from: from, to: to})
	if err != nil {
		return nil, err
	}
	return m.network.attach(tcp, l, from, to, free)
}

// reach connects to a process and says hello.
func (m *member) reach(ctx context.Context, address string, h hello) (*net.TCPConn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(m.ctx, func() { cancel(net.ErrClosed) })()
	tcp, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err == nil {
		if err = greet(ctx, tcp, h); err == nil {
			return tcp.(*net.TCPConn), nil
		}
		_ = tcp.Close()
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, cause(err)
}

// accept takes connections from processes until leave.
func (m *member) accept() {
	for {
		tcp, err := m.listener.Accept()
		switch {
		case err == nil:
			m.running.Go(func() { m.welcome(tcp.(*net.TCPConn)) })
		case errors.Is(err, net.ErrClosed):
			return
		default: // there are no descriptors for now
			select {
			case <-m.ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
}

// welcome answers a hello and does what it asks for.
func (m *member) welcome(tcp *net.TCPConn) {
	var h hello
	var l *listener
	err := withContext(m.ctx, tcp, func() error {
		line, err := readLine(tcp)
		if err == nil {
			h, err = parseHello(line)
		}
		if err == nil {
			l, err = m.heed(h)
		}
		_, werr := io.WriteString(tcp, answerOf(err)+"\n")
		return errors.Join(err, werr)
	})
	if err != nil || l == nil {
		_ = tcp.Close()
		return
	}
	c, err := m.network.attach(tcp, m.network.link(h.from.Host, h.to.Host), h.to, h.from, nil)
	if err == nil && !l.offer(c) {
		c.reset()
		_ = c.Close()
	}
}

// heed takes over what news are about, and finds the listener for a connection.
func (m *member) heed(h hello) (*listener, error) {
	if h.network != m.name || subtle.ConstantTimeCompare([]byte(h.token), []byte(m.token)) == 0 {
		return nil, ErrNetworkMismatch
	}
	if h.isNews() {
		return nil, m.load()
	}
	l := m.network.listener(h.to)
	if l == nil || len(l.queue) == cap(l.queue) {
		return nil, answers["refused"]
	}
	return l, nil
}
