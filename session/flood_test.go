//go:build unix

package session_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rexec/rex/mux"
	"github.com/rexec/rex/mux/muxtest"
	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

// Frames that cost a client next to nothing must not cost the server much: CVE-2023-44487 (HTTP/2: streams opened and
// given up), CVE-2024-32984 (yamux: answers that nobody reads), RUSTSEC-2026-0258 (empty data), CVE-2025-26466 (pings).

// A flood is what a client sends, frame after frame, as fast as it can.
type flood struct {
	n     int                             // how many frames
	frame func(b []byte, i uint32) []byte // appends the i-th
	ends  string                          // the rule that ends the session; empty: it is served to its end
	may   bool                            // or served to its end, if the server is faster
	paced bool                            // the client has no more open than it may
	deaf  bool                            // the client reads nothing
	link  bool                            // the frames are records of a link, over TLS
}

const (
	flagSYN, flagACK, flagFIN               = 1, 2, 4
	frameData, frameWindow, framePing       = 0, 1, 2
	recordData, recordACK, recordPing       = 1, 2, 3
	recordPause                             = 6
	oversize                                = 1<<32 - 1
	floodHeap                         int64 = 16 << 20
	floodRoutines                           = 1100 // a thousand streams
)

func frame(b []byte, kind, flags byte, id, length uint32) []byte {
	b = append(b, 0, kind, 0, flags)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, id), length)
}

func linkRecord(b []byte, kind byte, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(kind)<<24|uint32(len(payload))), payload...)
}

// Stream 1 is control.
var floods = map[string]flood{
	"open and end": {n: 100000, ends: "too many streams", may: true, frame: func(b []byte, i uint32) []byte {
		return frame(frame(b, frameWindow, flagSYN, 3+2*i, 0), frameWindow, flagFIN, 3+2*i, 0)
	}},
	"open and end, not too many": {n: 100000, paced: true, frame: func(b []byte, i uint32) []byte {
		return frame(b, frameWindow, flagSYN|flagFIN, 3+2*i, 0)
	}},
	"open and end, read nothing": {n: 100000, deaf: true, ends: "too many streams", frame: func(b []byte, i uint32) []byte {
		return frame(b, frameData, flagSYN|flagFIN, 3+2*i, 0)
	}},
	"open": {n: 100000, ends: "too many streams", frame: func(b []byte, i uint32) []byte {
		return frame(b, frameWindow, flagSYN, 3+2*i, 0)
	}},
	"empty data": {n: 1000000, ends: "flood", frame: func(b []byte, _ uint32) []byte {
		return frame(b, frameData, 0, 1, 0)
	}},
	"empty updates": {n: 1000000, ends: "flood", frame: func(b []byte, _ uint32) []byte {
		return frame(b, frameWindow, 0, 1, 0)
	}},
	"small updates": {n: 1000000, frame: func(b []byte, _ uint32) []byte { // as a slow reader may send
		return frame(b, frameWindow, 0, 1, 1)
	}},
	"window overflow": {n: 1000, ends: "window overflow", frame: func(b []byte, _ uint32) []byte {
		return frame(b, frameWindow, 0, 1, oversize/2)
	}},
	"open with too much": {n: 100, ends: "beyond the window", frame: func(b []byte, i uint32) []byte {
		return append(frame(b, frameData, flagSYN, 3+2*i, oversize), make([]byte, 4<<10)...)
	}},
	"pings": {n: 100000, ends: "flood", frame: func(b []byte, i uint32) []byte {
		return frame(b, framePing, flagSYN, 0, i)
	}},
	"pings, read nothing": {n: 100000, deaf: true, ends: "flood", frame: func(b []byte, i uint32) []byte {
		return frame(b, framePing, flagSYN, 0, i)
	}},
	"pongs": {n: 100000, ends: "flood", frame: func(b []byte, i uint32) []byte {
		return frame(b, framePing, flagACK, 0, i)
	}},
	"link pings": {n: 100000, link: true, ends: "flood", frame: func(b []byte, i uint32) []byte {
		return linkRecord(b, recordPing, binary.BigEndian.AppendUint64(nil, uint64(i)))
	}},
	"link pings, read nothing": {n: 100000, link: true, deaf: true, ends: "flood", frame: func(b []byte, i uint32) []byte {
		return linkRecord(b, recordPing, binary.BigEndian.AppendUint64(nil, uint64(i)))
	}},
	"link pauses": {n: 100000, link: true, ends: "flood", frame: func(b []byte, _ uint32) []byte {
		return linkRecord(b, recordPause, nil)
	}},
	"link acknowledgements": {n: 1000, link: true, ends: "ACK", frame: func(b []byte, _ uint32) []byte {
		return linkRecord(b, recordACK, make([]byte, 8))
	}},
	"link bytes one by one": {n: 100000, link: true, frame: func(b []byte, _ uint32) []byte {
		for _, c := range frame(nil, frameWindow, 0, 1, 1) {
			b = linkRecord(b, recordData, []byte{c})
		}
		return b
	}},
}

func TestBanditFloods(t *testing.T) {
	srv := &session.Server{Handler: newHandler(t, "")}
	other := connect(t, srv)
	idle := make([]time.Duration, 9)
	for i := range idle {
		idle[i] = fine(t, other)
	}
	slices.Sort(idle)
	for name, f := range floods {
		t.Run(name, func(t *testing.T) { f.run(t, srv, other, idle[len(idle)/2]) })
	}
}

// fine runs a command and returns how long it took.
func fine(t *testing.T, link *link) time.Duration {
	t.Helper()
	begin := time.Now()
	if out, err := link.Command("echo", "fine").Output(); err != nil || string(out) != "fine\n" {
		t.Errorf("the other session: %q, %v", out, err)
	}
	return time.Since(begin)
}

// run floods a session of srv, and meanwhile runs commands on another.
func (f flood) run(t *testing.T, srv *session.Server, other *link, idle time.Duration) {
	var near, far muxtest.Conn
	if f.link {
		near, far = muxtest.TLS().Pair(t)
		far = mux.NewLink(far, nil)
	} else {
		near, far = socketpair(t)
	}
	runtime.GC()
	before := usage()
	served := make(chan error, 1)
	go func() { served <- srv.ServeConn(context.Background(), far, session.Peer{User: "bandit"}) }()
	sent, ends := make(chan int, 1), make(chan struct{}, 1)
	go func() { sent <- f.send(near, ends) }()
	go f.hear(near, ends)
	begin, commands := time.Now(), 0
	var worst time.Duration
	var most use
	var err error
	for over := false; !over; commands++ {
		worst = max(worst, fine(t, other))
		most = most.max(usage())
		select {
		case err = <-served:
			over = true
		default:
			if time.Since(begin) > 3*patience {
				t.Fatalf("neither ended nor served within %v", 3*patience)
			}
		}
	}
	took := time.Since(begin)
	_ = near.Close()
	n := <-sent
	for range ends { // until all is heard
	}
	f.judge(t, err, n)
	grew := use{most.heap - before.heap, most.routines - before.routines}
	t.Logf("%d frames taken in %v: %v; heap %+d KiB, goroutines %+d; %d commands beside it, at worst %v, %.1f times as long as alone",
		n, took.Round(time.Millisecond), err, grew.heap>>10, grew.routines, commands, worst.Round(time.Microsecond),
		float64(worst)/float64(idle))
	if grew.heap > floodHeap || grew.routines > floodRoutines {
		t.Errorf("heap %+d KiB, goroutines %+d", grew.heap>>10, grew.routines)
	}
	if worst > max(20*idle, 5*time.Second) {
		t.Errorf("a command beside it took %v, alone %v", worst, idle)
	}
}

// judge compares how the session ended with what has to be.
func (f flood) judge(t *testing.T, err error, sent int) {
	t.Helper()
	broken, isBroken := errors.AsType[*mux.ViolationError](err)
	switch {
	case err == nil && f.may:
	case f.ends == "" && err != nil:
		t.Errorf("%d frames taken, then: %v", sent, err)
	case f.ends != "" && !(isBroken && strings.Contains(broken.Reason, f.ends)):
		t.Errorf("%d frames taken, then: %v, want a violation: %s", sent, err, f.ends)
	}
}

// hear reads what the server says, and tells of each FIN.
func (f flood) hear(conn io.Reader, ends chan<- struct{}) {
	defer close(ends)
	switch {
	case f.deaf:
	case f.paced:
		var head [12]byte
		for {
			if _, err := io.ReadFull(conn, head[:]); err != nil {
				return
			}
			if head[1] == frameData {
				_, _ = io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(head[8:])))
			}
			if head[3]&flagFIN != 0 {
				ends <- struct{}{}
			}
		}
	default:
		_, _ = io.Copy(io.Discard, conn)
	}
}

// send opens the session, floods it and says bye. It returns how many frames the connection took.
func (f flood) send(conn io.Writer, ends <-chan struct{}) (sent int) {
	n := f.amount()
	pack := func(b []byte) []byte { return b }
	if f.link {
		pack = func(b []byte) []byte { return linkRecord(nil, recordData, b) }
	}
	hello := &proto.Message{Hello: &proto.Hello{Version: proto.Version, Software: "bandit", Caps: []string{}, MaxFrame: proto.MaxFrame}}
	if _, err := conn.Write(pack(append(frame(nil, frameWindow, flagSYN, 1, 0), onControl(hello)...))); err != nil {
		return 0
	}
	const batch = 50
	var buf []byte
	ended := 0
	for sent < n {
		buf = buf[:0]
		for i := range batch {
			buf = f.frame(buf, uint32(sent+i))
		}
		if _, err := conn.Write(buf); err != nil {
			return sent
		}
		sent += batch
		for f.paced && sent-ended > 500 {
			if _, ok := <-ends; !ok {
				return sent
			}
			ended++
		}
	}
	_, _ = conn.Write(pack(onControl(&proto.Message{Bye: &proto.Bye{}})))
	return sent
}

// amount is how many frames are sent: fewer under -short, and of those that the server serves for seconds unless
// REX_SLOW is set.
func (f flood) amount() int {
	switch {
	case testing.Short() && (f.paced || f.may):
		return f.n / 50
	case testing.Short():
		return f.n / 10
	case f.paced && os.Getenv("REX_SLOW") == "":
		return f.n / 5
	}
	return f.n
}

// onControl is a message in a data frame of the control stream.
func onControl(m *proto.Message) []byte {
	body, err := proto.Append(nil, m)
	if err != nil {
		panic(err)
	}
	return append(frame(nil, frameData, 0, 1, uint32(len(body))), body...)
}

// use is what a process holds.
type use struct {
	heap     int64
	routines int
}

func usage() use {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return use{int64(m.HeapInuse), runtime.NumGoroutine()}
}

func (u use) max(v use) use { return use{max(u.heap, v.heap), max(u.routines, v.routines)} }
