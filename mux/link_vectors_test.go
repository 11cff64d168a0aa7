package mux

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// linkReasons maps the words of "expect: refused ..." to what a ViolationError says.
var linkReasons = map[string]string{
	"type": "unknown record type", "length": "wrong length", "utf8": "not UTF-8", "flood": "flood",
	"trailing": "bytes after CLOSE", "value": "that",
}

// line is a connection that gives prepared bytes in pieces and then io.EOF, and keeps what is written.
type line struct {
	in   []byte
	step func() int // how long the next piece is

	mu  sync.Mutex
	out []byte
}

func (c *line) Read(p []byte) (int, error) {
	if len(c.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.in[:min(len(c.in), c.step())])
	c.in = c.in[n:]
	return n, nil
}

func (c *line) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(c.out, p...)
	return len(p), nil
}

func (c *line) Close() error { return nil }

// stillLink is a link whose clock stands still.
func stillLink(in []byte, step func() int) (*Link, *line) {
	c := &line{in: in, step: step}
	l := NewLink(c, nil)
	l.now = func() time.Time { return time.Unix(1e9, 0) }
	return l, c
}

// vector is one entry of link.txtar.
type vector map[string]string

func (v vector) bytes(t testing.TB, key string) []byte {
	t.Helper()
	var out []byte
	for _, word := range strings.Fields(v[key]) {
		digits, times, _ := strings.Cut(word, "*")
		b, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		n, err := strconv.Atoi(times)
		if err != nil {
			n = 1
		}
		out = append(out, bytes.Repeat(b, n)...)
	}
	return out
}

func (v vector) number(t testing.TB, key string) uint64 {
	t.Helper()
	if v[key] == "" {
		return 0
	}
	n, err := strconv.ParseUint(v[key], 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return n
}

// linkVectors returns the entries by name.
func linkVectors(t testing.TB) map[string]vector {
	text, err := os.ReadFile("testdata/vectors/link.txtar")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]vector)
	for _, entry := range strings.Split(string(text), "\n-- ")[1:] {
		name, rest, _ := strings.Cut(entry, " --\n")
		v, last := vector{}, ""
		for line := range strings.Lines(rest) {
			line = strings.TrimSuffix(line, "\n")
			key, value, ok := strings.Cut(line, ":")
			switch {
			case line == "" || line[0] == '#':
			case line[0] == ' ':
				v[last] += line
			case !ok:
				t.Fatalf("%s: %q", name, line)
			default:
				last = key
				v[key] = strings.TrimSpace(value)
			}
		}
		all[name] = v
	}
	return all
}

func TestLinkVectors(t *testing.T) {
	for name, v := range linkVectors(t) {
		t.Run(name, func(t *testing.T) {
			for _, step := range []int{1, 3, 5, 1 << 20} {
				testLinkVector(t, v, step)
			}
			if v["records"] != "" {
				if got, want := encodeRecords(t, v), v.bytes(t, "hex"); !bytes.Equal(got, want) {
					t.Errorf("encoded\n%x, want\n%x", got, want)
				}
			}
		})
	}
}

func testLinkVector(t *testing.T, v vector, step int) {
	t.Helper()
	l, conn := stillLink(v.bytes(t, "hex"), func() int { return step })
	defer l.Close()
	l.sent, l.timers.pinged = v.number(t, "sent"), v.number(t, "asked")
	got, err := io.ReadAll(l)
	checkLinkEnd(t, v["expect"], err)
	if want := v.bytes(t, "data"); !bytes.Equal(got, want) {
		t.Errorf("delivered %x, want %x", got, want)
	}
	l.mu.Lock()
	if want := v.number(t, "acked"); v["acked"] != "" && l.confirmed != want {
		t.Errorf("acknowledged %d, want %d", l.confirmed, want)
	}
	l.mu.Unlock()
	if want := v["paused"] == "yes"; l.Paused() != want && strings.HasPrefix(v["expect"], "trunc") {
		t.Errorf("paused: %v", l.Paused())
	}
	code, text, closed := l.Closed()
	if want := v["code"] != ""; closed != want && v["expect"] == "eof" {
		t.Fatalf("closed: %v", closed)
	}
	if closed && v["code"] != "" && (uint64(code) != v.number(t, "code") || text != string(v.bytes(t, "text"))) {
		t.Errorf("closed with %d %q", code, text)
	}
	l.Close()
	if want := appendNumber(nil, recordPong, v.number(t, "pong")); v["pong"] != "" && !bytes.Contains(conn.out, want) {
		t.Errorf("answered %x", conn.out)
	}
}

// checkLinkEnd compares the error of reading with an "expect" key.
func checkLinkEnd(t *testing.T, expect string, err error) {
	t.Helper()
	lost, isLost := errors.AsType[*LinkLostError](err)
	broken, isBroken := errors.AsType[*ViolationError](err)
	word, refused := strings.CutPrefix(expect, "refused ")
	switch {
	case expect == "eof" && err == nil: // io.ReadAll's way to say io.EOF
	case expect == "truncated" && isLost && lost.Cause == io.ErrUnexpectedEOF:
	case refused && isBroken && linkReasons[word] != "" && strings.Contains(broken.Reason, linkReasons[word]):
	default:
		t.Fatalf("error %v, want %s", err, expect)
	}
}

// encodeRecords encodes what the "records" key lists.
func encodeRecords(t *testing.T, v vector) (b []byte) {
	t.Helper()
	numbers := map[string]uint8{"ack": recordAck, "ping": recordPing, "pong": recordPong}
	for _, word := range strings.Split(v["records"], ", ") {
		kind, value, _ := strings.Cut(word, " ")
		switch kind {
		case "data":
			payload := vector{"": value}.bytes(t, "")
			b = append(appendRecord(b, recordData, len(payload)), payload...)
		case "pause":
			b = appendRecord(b, recordPause, 0)
		case "close":
			code, text, _ := strings.Cut(value, " ")
			b = farewell{
				uint16(vector{"": code}.number(t, "")), string(vector{"": text}.bytes(t, "")),
			}.append(b)
		default:
			b = appendNumber(b, numbers[kind], vector{"": value}.number(t, ""))
		}
	}
	return b
}

// TestLinkDoesNotBlameThePeerForItsOwnStop: a process that was stopped while it waited for a PONG reads what came
// meanwhile before it judges.
func TestLinkDoesNotBlameThePeerForItsOwnStop(t *testing.T) {
	clock := time.Now()
	l, _ := stillLink(nil, nil)
	defer l.Close()
	l.now, l.start = func() time.Time { return clock }, clock
	l.cfg.PingEvery = time.Hour
	l.timers.ping = time.NewTimer(time.Hour)
	l.timers.pingAt = clock.Add(time.Hour)
	for i, step := range []struct {
		after  time.Duration
		silent bool
	}{{time.Hour, false}, {3 * time.Hour, false}, {time.Hour, true}} {
		clock = clock.Add(step.after)
		if got := l.silent(); got != step.silent {
			t.Fatalf("%d: silent: %v", i, got)
		}
	}
}

// reference decodes a whole stream in the plainest way: the bytes delivered, and how it ends.
func reference(in []byte) (data []byte, end string) {
	pinged := 0
	for {
		if len(in) < 4 {
			return data, "truncated"
		}
		kind, n := in[0], int(in[1])<<16|int(in[2])<<8|int(in[3])
		in = in[4:]
		bounds := map[byte][2]int{1: {1, 65536}, 2: {8, 8}, 3: {8, 8}, 4: {8, 8}, 5: {2, 1026}, 6: {0, 0}}
		b, known := bounds[kind]
		if !known || n < b[0] || n > b[1] {
			return data, "refused"
		}
		if kind == 1 {
			data = append(data, in[:min(n, len(in))]...)
		}
		if len(in) < n {
			return data, "truncated"
		}
		payload := in[:n]
		in = in[n:]
		switch kind {
		case 2, 4: // nothing was sent or asked
			return data, "refused"
		case 3, 6:
			if pinged++; pinged > 200 {
				return data, "refused"
			}
		case 5:
			if !bytes.Equal(payload[2:], []byte(strings.ToValidUTF8(string(payload[2:]), "?"))) || len(in) > 0 {
				return data, "refused"
			}
			return data, "eof"
		}
	}
}

// FuzzLink: any bytes in any pieces give what the reference says, and nothing panics.
func FuzzLink(f *testing.F) {
	for _, v := range linkVectors(f) {
		if in := v.bytes(f, "hex"); len(in) < 4<<10 {
			f.Add(in, uint64(len(in)))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, seed uint64) {
		l, _ := stillLink(bytes.Clone(in), func() int {
			seed = seed*6364136223846793005 + 1442695040888963407
			return 1 + int(seed>>60)
		})
		defer l.Close()
		want, end := reference(in)
		var got []byte
		var err error
		for err == nil {
			var n int
			seed++
			p := make([]byte, 1+seed%40)
			n, err = l.Read(p)
			got = append(got, p[:n]...)
		}
		if _, again := l.Read(make([]byte, 1)); again != err {
			t.Fatalf("first %v, then %v", err, again)
		}
		_, isLost := errors.AsType[*LinkLostError](err)
		_, isBroken := errors.AsType[*ViolationError](err)
		if is := map[string]bool{"eof": err == io.EOF, "truncated": isLost, "refused": isBroken}; !is[end] {
			t.Fatalf("error %v, the reference says %s", err, end)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("got %x, want %x", got, want)
		}
	})
}
