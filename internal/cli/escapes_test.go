package cli

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// feedAll feeds typed in pieces, and returns what is sent, with the actions in
// between: < for disconnect, ^ for suspend, ? for help.
func feedAll(key escapeKey, pieces ...string) string {
	e := &escapes{key: key}
	var out strings.Builder
	for _, piece := range pieces {
		for rest := []byte(piece); len(rest) > 0; {
			var send []byte
			var action escapeAction
			send, action, rest = e.feed(nil, rest)
			out.Write(send)
			out.WriteString(map[escapeAction]string{escapeDisconnect: "<", escapeSuspend: "^", escapeHelp: "?"}[action])
		}
	}
	return out.String()
}

func TestEscapes(t *testing.T) {
	for _, c := range []struct{ typed, want string }{
		{"ls\r", "ls\r"},
		{"~.", "<"},
		{"a~.", "a~."},
		{"a\r~.", "a\r<"},
		{"a\n~.b", "a\n<b"},
		{"~~.", "~."},
		{"\r~~~.", "\r~~."},
		{"~?~?", "??"},
		{"~?x~?", "?x~?"},
		{"~\x1a", "^"},
		{"~\x1a~.", "^<"},
		{"~x", "~x"},
		{"~x~.", "~x~."},
		{"~\r~.", "~\r<"},
		{"~", ""},
		{"\r~", "\r"},
		{"~/bin\r", "~/bin\r"},
		{"~~\r~.", "~\r<"},
		{"", ""},
	} {
		if got := feedAll('~', c.typed); got != c.want {
			t.Errorf("%q: %q, want %q", c.typed, got, c.want)
		}
		if got := feedAll('~', strings.Split(c.typed, "")...); got != c.want {
			t.Errorf("%q one by one: %q, want %q", c.typed, got, c.want)
		}
	}
	if got := feedAll(0, "~.\r~.\x00."); got != "~.\r~.\x00." {
		t.Errorf("without a key: %q", got)
	}
	if got := feedAll('\x01', "~.\r\x01.\x01\x01"); got != "~.\r<\x01" {
		t.Errorf("with ^A: %q", got)
	}
}

func TestEscapeText(t *testing.T) {
	for key, want := range map[escapeKey]string{'~': "  ~.  ", '\x01': "  ^A.  "} {
		if text := (&escapes{key: key}).escapeText(); !strings.Contains(text, want) {
			t.Errorf("key %d:\n%s", key, text)
		}
	}
}

// FuzzEscapes checks that cutting the input differently changes nothing, and
// that without the key every byte comes out.
func FuzzEscapes(f *testing.F) {
	for _, s := range []string{"~.", "a\r~\x1a", "~~", "~?~?", "x~.\n~"} {
		f.Add([]byte(s), 1, byte('~'))
	}
	f.Fuzz(func(t *testing.T, typed []byte, cut int, key byte) {
		cut = min(max(cut, 0), len(typed))
		whole := feedAll(escapeKey(key), string(typed))
		if parts := feedAll(escapeKey(key), string(typed[:cut]), string(typed[cut:])); parts != whole {
			t.Fatalf("%q cut at %d: %q, whole %q", typed, cut, parts, whole)
		}
		if !bytes.Contains(typed, []byte{key}) || key == 0 {
			if whole != string(typed) {
				t.Fatalf("%q without the key: %q", typed, whole)
			}
		}
	})
}

// lines is a reader that returns one element a call, then err.
type lines struct {
	pieces []string
	err    error
}

func (l *lines) Read(p []byte) (int, error) {
	if len(l.pieces) == 0 {
		return 0, l.err
	}
	n := copy(p, l.pieces[0])
	l.pieces = l.pieces[1:]
	return n, nil
}

// record is where a keyboard's doings go.
type record struct {
	mu   sync.Mutex
	what []string
	full bool // writes fail
}

func (r *record) add(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.what = append(r.what, s)
}

func (r *record) Write(p []byte) (int, error) {
	if r.full {
		return 0, io.ErrClosedPipe
	}
	r.add(string(p))
	return len(p), nil
}

func (r *record) Close() error {
	r.add("close")
	return nil
}

func TestKeyboard(t *testing.T) {
	gone := errors.New("gone")
	for _, c := range []struct {
		name string
		in   lines
		full bool
		want []string
	}{
		{"end", lines{[]string{"ab", "c"}, io.EOF}, false, []string{"ab", "c", "close"}},
		{"disconnect", lines{[]string{"a\r", "~.x", "y"}, io.EOF}, false, []string{"a\r", "disconnect: disconnected by the escape sequence"}},
		{"suspend and help", lines{[]string{"~\x1aa\r~?b"}, io.EOF}, false, []string{"suspend", "a\r", "help", "b", "close"}},
		{"gone", lines{[]string{"a"}, gone}, false, []string{"a", "disconnect: the terminal is gone: gone"}},
		{"nobody reads", lines{[]string{"a", "b"}, io.EOF}, true, nil},
		{"held key at the end", lines{[]string{"~"}, io.EOF}, false, []string{"close"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &record{full: c.full}
			k := &keyboard{
				in: &c.in, out: r, escapes: escapes{key: '~'},
				disconnect: func(reason string) { r.add("disconnect: " + reason) },
				suspend:    func() { r.add("suspend") },
				help:       func() { r.add("help") },
			}
			k.run()
			if diff := cmp.Diff(c.want, r.what); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A terminal that another program made non-blocking is waited for.
func TestKeyboardWaits(t *testing.T) {
	r := &record{}
	in := &lines{err: syscall.EAGAIN}
	k := &keyboard{in: in, out: r, escapes: escapes{key: '~'}}
	k.wait = func() error {
		in.pieces, in.err = []string{"late"}, io.EOF
		return nil
	}
	k.run()
	if diff := cmp.Diff([]string{"late", "close"}, r.what); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
