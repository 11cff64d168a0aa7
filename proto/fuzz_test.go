package proto

import (
	"bytes"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// seeds gives f the bytes of all vectors of one sort.
func seeds(f *testing.F, parse string) {
	for _, list := range vectors(f) {
		for _, v := range list {
			if v.keys["parse"] != parse {
				continue
			}
			b, err := expandHex(v.keys["hex"])
			if err != nil {
				f.Fatal(err)
			}
			if len(b) <= 512 { // the fuzzer minimizes what it finds, which takes long for longer ones
				f.Add(b)
			}
		}
	}
}

// FuzzDecode: what is decoded encodes to something that decodes to the same,
// and to the same bytes from then on.
func FuzzDecode(f *testing.F) {
	seeds(f, "message")
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := Decode(body)
		if err != nil {
			return
		}
		if m.Kind() == "" {
			t.Fatalf("no kind: %+v", m)
		}
		frame, err := Append(nil, m)
		if err != nil {
			t.Fatalf("%+v cannot be encoded: %v", m, err)
		}
		again, err := Decode(frame[4:])
		if err != nil {
			t.Fatal(err)
		}
		if m.Started == nil { // what exceeds MaxDroppedBytes is left out
			if diff := cmp.Diff(m, again); diff != "" {
				t.Fatal(diff)
			}
		}
		if stable, err := Append(nil, again); err != nil || !bytes.Equal(frame, stable) {
			t.Fatalf("%x became %x, %v", frame, stable, err)
		}
	})
}

// FuzzReader: frames come out of a stream as they come out of it byte by byte,
// and the reader never takes more than was there.
func FuzzReader(f *testing.F) {
	seeds(f, "frames")
	for _, m := range samples() {
		frame, err := Append(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := NewReader(bytes.NewReader(stream), MaxExecFrame)
		rest := stream
		for {
			m, err := r.Next()
			if err != nil {
				if err == io.EOF && len(rest) > 0 {
					t.Fatalf("the end before %x", rest)
				}
				return
			}
			n := 4 + int(rest[0])<<24 + int(rest[1])<<16 + int(rest[2])<<8 + int(rest[3])
			want, err := Decode(rest[4:n])
			if err != nil {
				t.Fatalf("read, but not decoded: %v", err)
			}
			if diff := cmp.Diff(want, m); diff != "" {
				t.Fatal(diff)
			}
			rest = rest[n:]
		}
	})
}

// FuzzParseAuth: whatever is accepted encodes to the same bytes.
func FuzzParseAuth(f *testing.F) {
	seeds(f, "auth")
	f.Fuzz(func(t *testing.T, frame []byte) {
		r := bytes.NewReader(frame)
		a, err := ReadAuth(r)
		if err != nil {
			return
		}
		taken := frame[:len(frame)-r.Len()]
		if again, err := a.Append(nil); err != nil || !bytes.Equal(again, taken) {
			t.Fatalf("%x became %x, %v", taken, again, err)
		}
		if CheckUser(a.User) != nil {
			t.Fatalf("user %q", a.User)
		}
	})
}

// FuzzParseAuthResult: whatever is accepted encodes to the same bytes.
func FuzzParseAuthResult(f *testing.F) {
	seeds(f, "auth-result")
	f.Fuzz(func(t *testing.T, frame []byte) {
		r := bytes.NewReader(frame)
		res, err := ReadAuthResult(r)
		if err != nil {
			return
		}
		taken := frame[:len(frame)-r.Len()]
		if again, err := res.Append(nil); err != nil || !bytes.Equal(again, taken) {
			t.Fatalf("%x became %x, %v", taken, again, err)
		}
	})
}
