package proto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func mustAuth(t testing.TB, a *Auth) []byte {
	t.Helper()
	frame, err := a.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

func TestAuthRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := &Auth{Mode: rapid.SampledFrom([]AuthMode{AuthKey, AuthNegotiate, AuthPeer}).Draw(t, "mode"), User: rapid.StringMatching(`[a-zA-Z0-9_.@é][a-zA-Z0-9_.@é-]{0,100}`).Draw(t, "user"), Ext: genExt(t)}
		genKeys(t, want)
		frame, err := want.Append([]byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		frame = frame[len("before"):]
		r := bytes.NewReader(append(slices.Clone(frame), "after"...))
		got, err := ReadAuth(r)
		if err != nil || r.Len() != len("after") {
			t.Fatalf("%v, %d bytes left", err, r.Len())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		if parsed, err := ParseAuth(frame[4:]); err != nil || cmp.Diff(want, parsed) != "" {
			t.Fatalf("parsed %+v, %v", parsed, err)
		}
	})
}

func TestAuthResultRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := &AuthResult{Code: AuthCode(rapid.IntRange(0, 4).Draw(t, "code")), Text: rapid.StringN(0, -1, MaxText).Draw(t, "text"), Ext: genExt(t)}
		if want.Code == AuthNeedSig {
			want.Index = rapid.Uint8().Draw(t, "index")
		}
		frame, err := want.Append([]byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		r := bytes.NewReader(append(slices.Clone(frame[len("before"):]), "after"...))
		got, err := ReadAuthResult(r)
		if err != nil || r.Len() != len("after") {
			t.Fatalf("%v, %d bytes left", err, r.Len())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// genKeys gives a frame what its mode demands.
func genKeys(t *rapid.T, a *Auth) {
	most := map[AuthMode]int{AuthKey: 1, AuthNegotiate: MaxKeys}[a.Mode]
	if most == 0 {
		return
	}
	a.Keys = rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 1, 600), 1, most).Draw(t, "keys")
	if a.Mode == AuthKey {
		a.Signature = rapid.SliceOfN(rapid.Byte(), 1, MaxSignature).Draw(t, "signature")
	}
}

func TestResumeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wish := ResumeWish{Window: rapid.Uint32().Draw(t, "window"), Ring: rapid.Uint32().Draw(t, "ring")}
		ext := wish.Append(nil)
		if got, err := ParseResumeWish(append(ext, "of tomorrow"...)); err != nil || got != wish {
			t.Fatalf("%+v, %v", got, err)
		}
		grant := &ResumeGrant{Window: wish.Ring, Ring: wish.Window}
		copy(grant.ID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		copy(grant.Secret[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "secret"))
		long := grant.Append(nil)
		if got, err := ParseResumeGrant(append(long, 1)); err != nil || *got != *grant {
			t.Fatalf("%+v, %v", got, err)
		}
		for n := range ext {
			if _, err := ParseResumeWish(ext[:n]); err == nil {
				t.Fatalf("a wish of %d bytes", n)
			}
		}
		for n := range long {
			if _, err := ParseResumeGrant(long[:n]); err == nil {
				t.Fatalf("a grant of %d bytes", n)
			}
		}
	})
}

func genExt(t *rapid.T) []byte {
	ext := rapid.SliceOfN(rapid.Byte(), 0, 500).Draw(t, "ext")
	if len(ext) == 0 {
		return nil
	}
	return ext
}

// TestReadAuthExactly: the bytes after the frame are the session's, and a
// reader that gave them to nobody would hang the login.
func TestReadAuthExactly(t *testing.T) {
	frame := mustAuth(t, &Auth{Mode: AuthPeer, User: "alice", Ext: make([]byte, 10_000)})
	rest := io.MultiReader(bytes.NewReader(frame), iotest.ErrReader(errors.New("read beyond the frame")))
	if _, err := ReadAuth(iotest.OneByteReader(rest)); err != nil {
		t.Error(err)
	}
}

func TestReadAuthTruncatedAnywhere(t *testing.T) {
	auth := mustAuth(t, &Auth{Mode: AuthPeer, User: "alice", Ext: []byte("ext")})
	result, err := (&AuthResult{Code: AuthDenied, Text: "no", Ext: []byte("ext")}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range auth {
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		if _, err := ReadAuth(bytes.NewReader(auth[:n])); err != want {
			t.Errorf("auth cut at %d: %v", n, err)
		}
		if n > 4 {
			testShortAuth(t, auth[4:n])
		}
	}
	for n := 1; n < len(result); n++ {
		if _, err := ReadAuthResult(bytes.NewReader(result[:n])); err != io.ErrUnexpectedEOF {
			t.Errorf("result cut at %d: %v", n, err)
		}
		if _, err := ParseAuthResult(result[4:max(n, 4)]); err == nil {
			t.Errorf("result without its end at %d", n)
		}
	}
}

func testShortAuth(t *testing.T, frame []byte) {
	t.Helper()
	if a, err := ParseAuth(frame); err == nil {
		t.Errorf("%x became %+v", frame, a)
	}
}

func TestReadAuthPassesErrorsOn(t *testing.T) {
	lost := errors.New("lost")
	for _, start := range []string{"", "\x00\x00", "\x00\x00\x00\x10\x01"} {
		r := io.MultiReader(strings.NewReader(start), iotest.ErrReader(lost))
		if _, err := ReadAuth(r); err != lost {
			t.Errorf("after %q: %v", start, err)
		}
	}
}

// TestReadAuthAnnouncedLengthCostsNothing: anybody who can connect can announce
// a length.
func TestReadAuthAnnouncedLengthCostsNothing(t *testing.T) {
	for _, n := range []uint32{MaxAuth, MaxAuth + 1, 1 << 31, 1<<32 - 1} {
		head := binary.BigEndian.AppendUint32(nil, n)
		var err error
		used := allocatedBy(func() { _, err = ReadAuth(bytes.NewReader(head)) })
		if err == nil || used > 16<<10 {
			t.Errorf("%d: %v, %d bytes allocated", n, err, used)
		}
	}
}

func TestParseAuthSharesNoMemory(t *testing.T) {
	frame := mustAuth(t, &Auth{Mode: AuthPeer, User: "alice", Ext: []byte("ext")})[4:]
	a, err := ParseAuth(frame)
	if err != nil {
		t.Fatal(err)
	}
	clear(frame)
	if a.User != "alice" || string(a.Ext) != "ext" {
		t.Errorf("%+v", a)
	}
}

func TestParseAuthBounds(t *testing.T) {
	for _, frame := range [][]byte{nil, make([]byte, MaxAuth+1)} {
		if _, err := ParseAuth(frame); err == nil {
			t.Errorf("a frame of %d bytes was taken", len(frame))
		}
		if _, err := ParseAuthResult(frame); err == nil {
			t.Errorf("a result of %d bytes was taken", len(frame))
		}
	}
}

func TestAuthAppendRefuses(t *testing.T) {
	for name, a := range map[string]*Auth{
		"mode 3":    {Mode: AuthX509, User: "alice"},
		"mode 5":    {Mode: AuthResume, User: "alice"},
		"files key": {Mode: AuthDescriptors, User: "alice", Keys: [][]byte{[]byte("k")}},
		"no key":    {Mode: AuthKey, User: "alice", Signature: []byte("s")},
		"unsigned":  {Mode: AuthKey, User: "alice", Keys: [][]byte{[]byte("k")}},
		"signed":    {Mode: AuthNegotiate, User: "alice", Keys: [][]byte{[]byte("k")}, Signature: []byte("s")},
		"no list":   {Mode: AuthNegotiate, User: "alice"},
		"long list": {Mode: AuthNegotiate, User: "alice", Keys: slices.Repeat([][]byte{[]byte("k")}, MaxKeys+1)},
		"big key":   {Mode: AuthNegotiate, User: "alice", Keys: [][]byte{make([]byte, MaxKeyBlob+1)}},
		"big keys":  {Mode: AuthNegotiate, User: "alice", Keys: slices.Repeat([][]byte{make([]byte, MaxKeyBlob)}, 2)},
		"peer key":  {Mode: AuthPeer, User: "alice", Keys: [][]byte{[]byte("k")}},
		"mode 0":    {User: "alice"},
		"user":      {Mode: AuthPeer, User: "-l"},
		"too large": {Mode: AuthPeer, User: "alice", Ext: make([]byte, MaxAuth-11-5+1)},
	} {
		dst, err := a.Append([]byte("before"))
		if _, ok := errors.AsType[*AuthError](err); !ok || string(dst) != "before" {
			t.Errorf("%s: %q, %v", name, dst, err)
		}
	}
	largest := &Auth{Mode: AuthPeer, User: "alice", Ext: make([]byte, MaxAuth-11-5)}
	if n := len(mustAuth(t, largest)); n != 4+MaxAuth {
		t.Errorf("the largest has %d bytes", n)
	}
	for name, r := range map[string]*AuthResult{
		"code 5":    {Code: 5},
		"index":     {Code: AuthOK, Index: 1},
		"too large": {Ext: make([]byte, MaxAuthResult)},
	} {
		dst, err := r.Append([]byte("before"))
		if _, ok := errors.AsType[*AuthError](err); !ok || string(dst) != "before" {
			t.Errorf("result %s: %q, %v", name, dst, err)
		}
	}
}

func TestAuthResultMendsText(t *testing.T) {
	frame, err := (&AuthResult{Code: AuthDenied, Text: strings.Repeat("\xff", 10) + strings.Repeat("x", MaxText)}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseAuthResult(frame[4:])
	if err != nil || r.Text != "?"+strings.Repeat("x", MaxText-10) {
		t.Errorf("%v, %q", err, r.Text)
	}
}

func TestAuthCodeString(t *testing.T) {
	seen := map[string]bool{}
	for c := AuthOK; c <= AuthBadVersion; c++ {
		seen[c.String()] = true
	}
	if len(seen) != 5 || seen["unknown"] || AuthCode(5).String() != "unknown" {
		t.Errorf("%v", seen)
	}
}

func TestCheckUser(t *testing.T) {
	for _, name := range []string{
		"a", "root", "www-data", "_apt", "alice.b", "alice@EXAMPLE.COM", "user+tag", "j\u00fcrgen", "\u674e",
		"%h", "~", "a-", "0", "UPPER", "a=b", "a!", "a#", "a*", "a?", "[a]", "^", strings.Repeat("x", MaxUser),
	} {
		if err := CheckUser(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	bad := []string{
		"", "-", "-oProxyCommand=x", "a b", " a", "a\t", "a\n", "a\r", "a\x00", "a\x1b[2J", "a\x7f", "a/b", "..//", "a:b",
		"a\u0085", "a\u00a0", "a\u00ad", "a\u1680", "a\u2000", "a\u200b", "a\u200e", "a\u2028", "a\u202e", "a\u202f",
		"a\u205f", "a\u2066", "a\u2069", "a\u3000", "\ufeffa", "a\xff", "\xc3", strings.Repeat("x", MaxUser+1),
	}
	for _, c := range "'`\"\\$;&<>|(){}," {
		bad = append(bad, "a"+string(c))
	}
	for _, name := range bad {
		err := CheckUser(name)
		if _, ok := errors.AsType[*AuthError](err); !ok {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r > '~' }) || len(err.Error()) > 200 {
			t.Errorf("%q: the error %q is not fit for a terminal", name, err)
		}
	}
}
