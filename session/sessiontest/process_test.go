package sessiontest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/nettest"
)

// otherVar is the environment variable that makes this test the other process,
// on the network "net" of the directory that it names.
const otherVar = "SESSIONTEST_OTHER"

// patience bounds what comes at once unless something is broken.
const patience = 20 * time.Second

// runOther is the other process: it does what the lines of its standard input
// say, and answers each on its standard output, until that ends.
func runOther(dir string) error {
	n, err := Join(dir, "net")
	if err != nil {
		return err
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(answerTo(n, strings.Fields(lines.Text())))
	}
	return n.Close()
}

// answerTo does one of:
//
//	echo host              listens and sends back what comes
//	relay host to          listens and hands on to an address what comes
//	say from to text       has a text echoed
//	pairs hosts from to    has the hosts from, from+1 up to to say something to all hosts
//	cut a b; mend a b; drop a b size
func answerTo(n *Network, words []string) string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	number := func(i int) int {
		v, _ := strconv.Atoi(words[i])
		return v
	}
	var err error
	switch words[0] {
	case "echo", "relay":
		var l net.Listener
		if l, err = n.Host(words[1]).Listen(ctx, 0); err == nil && words[0] == "echo" {
			go serveEcho(l)
		} else if err == nil {
			go serveRelay(l, n.Host(words[1]), words[2])
		}
		if err == nil {
			return l.Addr().String()
		}
	case "say":
		err = echo(ctx, n, words[1], words[2], words[3])
	case "pairs":
		err = sayToAll(ctx, n, number(1), number(2), number(3))
	case "cut":
		n.Cut(words[1], words[2])
	case "mend":
		n.Mend(words[1], words[2])
	case "drop":
		n.DropAfter(words[1], words[2], int64(number(3)))
	}
	if err != nil {
		return err.Error()
	}
	return "ok"
}

// sayToAll has some of the hosts 0, 1, 2 … say something to all of them.
func sayToAll(ctx context.Context, n *Network, hosts, from, to int) error {
	var wg sync.WaitGroup
	errs := make([]error, hosts*hosts)
	for i := from; i < to; i++ {
		wg.Go(func() {
			for j := range hosts {
				errs[i*hosts+j] = echo(ctx, n, fmt.Sprint(i), fmt.Sprintf("%d:1", j), fmt.Sprintf("%d to %d", i, j))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// serveRelay connects everybody to an address, half by half.
func serveRelay(l net.Listener, h *Host, to string) {
	for {
		near, err := l.Accept()
		if err != nil {
			return
		}
		far, err := h.Dial(context.Background(), to)
		if err != nil {
			_ = near.Close()
			continue
		}
		half := func(to, from net.Conn) {
			_, _ = io.Copy(to, from)
			_ = to.(*conn).CloseWrite()
		}
		go func() {
			var halves sync.WaitGroup
			halves.Go(func() { half(far, near) })
			halves.Go(func() { half(near, far) })
			halves.Wait()
			_, _ = near.Close(), far.Close()
		}()
	}
}

// An other is another process on the network of a test.
type other struct {
	t     testing.TB
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
}

func newOther(t testing.TB, dir string) *other {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	o := &other{t: t, cmd: exec.Command(exe)}
	o.cmd.Env = append(os.Environ(), otherVar+"="+dir, "GORACE=atexit_sleep_ms=0")
	o.cmd.Stderr = os.Stderr
	o.stdin, err = o.cmd.StdinPipe()
	must(t, err)
	stdout, err := o.cmd.StdoutPipe()
	must(t, err)
	o.lines = bufio.NewScanner(stdout)
	must(t, o.cmd.Start())
	t.Cleanup(func() {
		_ = o.stdin.Close()
		for o.lines.Scan() {
			t.Error("the other process:", o.lines.Text())
		}
		if err := o.cmd.Wait(); err != nil && o.cmd.ProcessState.ExitCode() >= 0 {
			t.Error("the other process:", err)
		}
	})
	return o
}

// ask has it do something and returns the answer.
func (o *other) ask(words ...any) string {
	o.t.Helper()
	o.tell(words...)
	return o.answer()
}

func (o *other) tell(words ...any) {
	o.t.Helper()
	if _, err := fmt.Fprintln(o.stdin, words...); err != nil {
		o.t.Fatal(err)
	}
}

func (o *other) answer() string {
	o.t.Helper()
	if !o.lines.Scan() {
		o.t.Fatal("the other process has ended")
	}
	return o.lines.Text()
}

// must has it do something that cannot fail.
func (o *other) must(words ...any) {
	o.t.Helper()
	if got := o.ask(words...); got != "ok" {
		o.t.Fatalf("%v: %s", words, got)
	}
}

// kill ends it without a word.
func (o *other) kill() {
	o.t.Helper()
	must(o.t, o.cmd.Process.Kill())
	_ = o.cmd.Wait()
}

// The contract of net.Conn, when everything goes through another process.
func TestConnOfProcesses(t *testing.T) {
	dir := t.TempDir()
	n := join(t, dir)
	o := newOther(t, dir)
	home, err := n.Host("home").Listen(t.Context(), 0)
	must(t, err)
	if at := o.ask("relay", "far", "home:1"); at != "far:1" {
		t.Fatal(at)
	}
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		if c1, err = n.Host("a").Dial(t.Context(), "far:1"); err == nil {
			c2, err = home.Accept()
		}
		return c1, c2, func() { _, _ = c1.Close(), c2.Close() }, err
	})
}

// Each host's ports are given out by one process, in order, and a dialer's begin
// where they do in a network of one.
func TestPortsOfProcesses(t *testing.T) {
	dir := t.TempDir()
	n := join(t, dir)
	o := newOther(t, dir)
	for _, want := range []string{"α:1", "β:1", "α:2", "β:2"} {
		host, _, _ := strings.Cut(want, ":")
		if host == "β" {
			if got := o.ask("echo", host); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		} else if l, err := n.Host(host).Listen(t.Context(), 0); err != nil || l.Addr().String() != want {
			t.Errorf("%v, %v, want %s", l, err, want)
		}
	}
	if _, err := n.Host("β").Listen(t.Context(), 0); !errors.Is(err, ErrHostTaken) || err.Error() != "listen testnet β:0: the host is another process's" {
		t.Error(err)
	}
	if got := o.ask("echo", "α"); got != "listen testnet α:0: the host is another process's" {
		t.Error(got)
	}
	for _, want := range []Addr{{"α", 49152}, {"β", 49152}, {"α", 49153}} { // anybody dials from anywhere
		c, err := n.Host(want.Host).Dial(t.Context(), "β:1")
		must(t, err)
		if c.LocalAddr() != want || c.RemoteAddr() != (Addr{"β", 1}) {
			t.Errorf("%v to %v, want it from %v", c.LocalAddr(), c.RemoteAddr(), want)
		}
		must(t, c.Close())
	}
	must(t, echo(t.Context(), n, "α", "β:2", "x"))
	if _, err := n.Host("α").Dial(t.Context(), "β:3"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error(err)
	}
	if _, err := n.Host("α").Dial(t.Context(), "γ:1"); !errors.As(err, new(*net.DNSError)) {
		t.Error(err)
	}
}

// A hundred hosts in four processes, every one with every one.
func TestAllPairsOfProcesses(t *testing.T) {
	hosts := 100
	if testing.Short() {
		hosts = 20
	}
	const count = 4
	dir := t.TempDir()
	join(t, dir)
	var others [count]*other
	for i := range others {
		others[i] = newOther(t, dir)
		for j := i * hosts / count; j < (i+1)*hosts/count; j++ {
			if at := others[i].ask("echo", j); at != fmt.Sprintf("%d:1", j) {
				t.Fatal(at)
			}
		}
	}
	for i, o := range others {
		o.tell("pairs", hosts, i*hosts/count, (i+1)*hosts/count)
	}
	for _, o := range others {
		if got := o.answer(); got != "ok" {
			t.Error(got)
		}
	}
}

// A link that any process cuts is cut in all of them, for connections that are
// there and for new ones, and nothing is lost when any mends it.
func TestPartitionOfProcesses(t *testing.T) {
	dir := t.TempDir()
	n := join(t, dir)
	b, c := newOther(t, dir), newOther(t, dir)
	b.ask("echo", "b")
	c.ask("echo", "c")
	conn, err := n.Host("a").Dial(t.Context(), "c:1")
	must(t, err)
	defer conn.Close()
	write(t, conn, "1")
	read(t, conn, 1)

	b.must("cut", "c", "b")
	b.must("cut", "a", "c")
	write(t, conn, "2")
	closeWrite(t, conn)
	must(t, conn.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	if _, err := conn.Read(make([]byte, 1)); !isTimeout(err) {
		t.Error("over a cut link:", err)
	}
	must(t, conn.SetReadDeadline(time.Time{}))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := n.Host("a").Dial(ctx, "c:1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error("dial over a cut link:", err)
	}
	must(t, echo(t.Context(), n, "a", "b:1", "x")) // is not cut
	c.tell("say", "b", "c:1", "waits")
	b.tell("say", "b", "c:1", "waits")
	late := join(t, dir) // finds the cut
	if state, _ := late.link("b", "c").state(); !state.Cut {
		t.Error("who comes later does not know of the cut")
	}
	n.Mend("a", "c")
	n.Mend("b", "c")
	for _, o := range []*other{b, c} {
		if got := o.answer(); got != "ok" {
			t.Error("after the mending:", got)
		}
	}
	if all, err := io.ReadAll(conn); string(all) != "2" || err != nil {
		t.Errorf("after the mending: %q, %v", all, err)
	}
}

// A connection that is dropped is so at both ends, and exactly there for who
// reads.
func TestDropAfterOfProcesses(t *testing.T) {
	dir := t.TempDir()
	n := join(t, dir)
	o := newOther(t, dir)
	o.ask("echo", "b")
	o.must("drop", "a", "b", 4)
	c, err := n.Host("a").Dial(t.Context(), "b:1")
	must(t, err)
	defer c.Close()
	write(t, c, "12")
	if got := read(t, c, 2); got != "12" {
		t.Error(got)
	}
	write(t, c, "3456")
	if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	n.DropAfter("a", "b", -1)
	must(t, echo(t.Context(), n, "a", "b:1", "123456"))
}

// A process that is killed leaves nothing: its connections are reset or end, its
// hosts are free, and who comes next finds no entry of it.
func TestKilledProcess(t *testing.T) {
	dir := t.TempDir()
	n := join(t, dir)
	o := newOther(t, dir)
	o.ask("echo", "b")
	c, err := n.Host("a").Dial(t.Context(), "b:1")
	must(t, err)
	defer c.Close()
	if got := entries(t, n); len(got) != 3 {
		t.Errorf("entries before: %q", got)
	}
	o.kill()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("its connection lives on")
	}
	if _, err := n.Host("a").Dial(t.Context(), "b:1"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error("dial:", err)
	}
	if n.member.knows("b") {
		t.Error("its host is still known")
	}
	n.Cut("a", "b") // tells nobody who is dead
	n.Mend("a", "b")
	l, err := n.Host("b").Listen(t.Context(), 0)
	if err != nil || l.Addr() != (Addr{"b", 1}) {
		t.Error("its host is not free:", l, err)
	}
	second := newOther(t, dir)
	second.ask("echo", "c")
	second.kill()
	join(t, dir)
	if got := entries(t, n); len(got) != 3 { // two processes and b
		t.Errorf("entries afterwards: %q", got)
	}
}

// entries are the names of what processes and hosts there are.
func entries(t *testing.T, n *Network) (names []string) {
	t.Helper()
	for _, kind := range []string{processes, hosts} {
		must(t, n.member.registry.each(kind, func(relative string) error {
			names = append(names, relative)
			return nil
		}))
	}
	return names
}
