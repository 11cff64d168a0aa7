package process

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func messages() []message {
	spec := Spec{Path: "a/b", Args: []string{"", "x\n\xff", "y"}, Env: []string{"A=1"}, Dir: "/d", Keep: true}
	return []message{
		&startOrder{spec: spec, term: true, files: 61, grace: 5 * time.Second},
		&startOrder{spec: Spec{Args: []string{}, Env: []string{}}},
		&startOrder{spec: Spec{Args: []string{}, Env: []string{}, DirOptional: true, Credential: &Credential{UID: 1, GID: 1 << 31, Groups: []uint32{0, 5}}}},
		&startOrder{spec: Spec{Args: []string{}, Env: []string{}, Credential: &Credential{}}},
		&confirmOrder{},
		&signalOrder{id: 1 << 40, sig: 15, to: ToTree},
		&endOrder{grace: time.Hour},
		&killOrder{},
		&releaseOrder{},
		&startedReport{pid: 4194304},
		&failedReport{code: CodeNotFound, reason: "no \xff", errno: 2},
		&exitedReport{State{Code: -1, Signal: 9, SignalName: "KILL", Core: true, UserTime: 1, SystemTime: 2, MaxRSS: 1 << 33, Started: time.Unix(5, 6), Ended: time.Unix(7, 8)}},
		&exitedReport{},
		&signalReport{id: 3, errno: 1, reason: "not permitted"},
	}
}

func TestWireRoundTrip(t *testing.T) {
	var stream bytes.Buffer
	for _, m := range messages() {
		if err := writeFrame(&stream, m); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range messages() {
		got, err := readFrame(&stream, maxOrder)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v %v, want %+v", got, err, want)
		}
	}
	if _, err := readFrame(&stream, maxOrder); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestWireMalformed(t *testing.T) {
	frame, err := encodeFrame(messages()[0])
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < len(frame); n++ {
		if _, err := readFrame(bytes.NewReader(frame[:n]), maxOrder); err == nil || err == io.EOF {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
		if _, err := decodeFrame(frame[4:max(n, 4)]); err == nil {
			t.Fatalf("cut after %d bytes is accepted", n)
		}
	}
	if _, err := decodeFrame(append(slices.Clone(frame[4:]), 0)); !errors.Is(err, errMalformed) {
		t.Errorf("a byte too many: %v", err)
	}
	if _, err := readFrame(bytes.NewReader(frame), uint32(len(frame)-5)); err == nil {
		t.Error("a frame over the limit is accepted")
	}
	for _, b := range []string{"", "\x00", "\xc8", "\x01\xff\xff\xff\xff", "\x01\x00\x00\x00\x00\xff\xff\xff\xff"} {
		if _, err := decodeFrame([]byte(b)); err == nil {
			t.Errorf("%q is accepted", b)
		}
	}
	huge := &failedReport{reason: strings.Repeat("x", maxOrder)}
	if _, err := encodeFrame(huge); err == nil {
		t.Error("a huge frame is made")
	}
}

// FuzzDecodeFrame: whatever is accepted is the one encoding of what it says.
func FuzzDecodeFrame(f *testing.F) {
	for _, m := range messages() {
		frame, err := encodeFrame(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame[4:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeFrame(b)
		if err != nil {
			return
		}
		frame, err := encodeFrame(m)
		if err != nil || !bytes.Equal(frame[4:], b) {
			t.Errorf("%x decodes to %+v, which encodes to %x, %v", b, m, frame, err)
		}
	})
}
