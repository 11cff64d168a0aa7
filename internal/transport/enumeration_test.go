//go:build linux || darwin || freebsd

package transport

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rexec/rex/proto"
)

// slowForSome is an Authorizer that admits nobody, and takes 1 to 2 ms to say
// so of a user that exists, and no time of any other.
type slowForSome struct{}

func (slowForSome) Authorize(_ context.Context, at *Attempt) (*Grant, error) {
	if strings.HasPrefix(at.User, "real") {
		time.Sleep(time.Millisecond + rand.N(time.Millisecond))
	}
	return nil, errors.New("no")
}

// A guesser wants to know which accounts exist.
type guesser struct {
	keys int           // in one frame
	late time.Duration // before it sends it
}

// refusals are the times, in seconds, that refusals of so many names took.
func (g guesser) refusals(t *testing.T, ctx context.Context, prefix string, many int) []float64 {
	t.Helper()
	signer := newIdentity(t)
	l := scriptedListener(t, slowForSome{})
	var took []float64
	for i := range many {
		login := newScripted(l, signer.Key(), frameOf(t, g.frame(fmt.Sprint(prefix, i), signer.Key().Blob())))
		login.script.late = g.late
		sent := time.Now().Add(g.late)
		if _, _, err := login.run(ctx); !errors.As(err, new(*deniedError)) {
			t.Fatal(err)
		}
		took = append(took, time.Since(sent).Seconds())
	}
	return took
}

func (g guesser) frame(user string, key []byte) *proto.Auth {
	if g.keys == 1 {
		return &proto.Auth{Mode: proto.AuthKey, User: user, Keys: [][]byte{key}, Signature: []byte("x")}
	}
	return &proto.Auth{Mode: proto.AuthNegotiate, User: user, Keys: slices.Repeat([][]byte{key}, g.keys)}
}

// TestAttackEnumeration: the time of a refusal does not tell which users exist
// (CVE-2018-15473). The clock is that of the test, so that nothing but what the
// server waits for is in the times.
func TestAttackEnumeration(t *testing.T) {
	for name, g := range map[string]guesser{
		"a key":     {keys: 1},
		"many keys": {keys: proto.MaxKeys},                  // the work is done for each
		"late":      {keys: 1, late: padTime + padSpread/2}, // so that half of the names' times have passed
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { g.guess(t) })
		})
	}
}

func (g guesser) guess(t *testing.T) {
	const names = 1000
	if p := similarity(g.refusals(t, ended(t), "real", names), g.refusals(t, ended(t), "none", names)); p > 1e-9 {
		t.Errorf("p = %g without the wait: the test sees nothing", p)
	}
	var seen []float64
	for range 3 { // one in a hundred fails by chance
		p := similarity(g.refusals(t, t.Context(), "real", names), g.refusals(t, t.Context(), "none", names))
		if seen = append(seen, p); p > 0.01 {
			return
		}
	}
	t.Errorf("p = %v that the two times are the same", seen)
}

// TestRefusalTime: a name is refused after the same time on every attempt.
func TestRefusalTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signer := newIdentity(t)
		l := scriptedListener(t, slowForSome{})
		var first time.Duration
		for i := range 20 {
			frame := &proto.Auth{Mode: proto.AuthKey, User: "real", Keys: [][]byte{signer.Key().Blob()}, Signature: []byte("x")}
			if i%2 == 1 {
				frame = &proto.Auth{Mode: proto.AuthNegotiate, User: "real", Keys: [][]byte{signer.Key().Blob()}}
			}
			login := newScripted(l, signer.Key(), frameOf(t, frame))
			start := time.Now()
			_, _, _ = login.run(t.Context())
			took := time.Since(start)
			if first == 0 {
				first = took
			}
			if took != first || took < padTime || took > padTime+padSpread {
				t.Errorf("attempt %d took %v, the first %v", i, took, first)
			}
		}
	})
}

// similarity is the probability that two samples of one distribution differ at
// least as much (Kolmogorov and Smirnov, in the limit of large samples).
func similarity(a, b []float64) float64 {
	slices.Sort(a)
	slices.Sort(b)
	var i, j int
	var most float64
	for i < len(a) && j < len(b) {
		at := min(a[i], b[j])
		for i < len(a) && a[i] == at {
			i++
		}
		for j < len(b) && b[j] == at {
			j++
		}
		most = max(most, math.Abs(float64(i)/float64(len(a))-float64(j)/float64(len(b))))
	}
	n := math.Sqrt(float64(len(a)*len(b)) / float64(len(a)+len(b)))
	lambda := (n + 0.12 + 0.11/n) * most
	var p float64
	for k := 1.0; k <= 100; k++ {
		p += 2 * math.Pow(-1, k-1) * math.Exp(-2*k*k*lambda*lambda)
	}
	return min(max(p, 0), 1)
}

// TestSimilarity has the values of two samples that can be counted by hand.
func TestSimilarity(t *testing.T) {
	var a, b, c []float64
	for i := range 100 {
		a, b, c = append(a, float64(i)), append(b, float64(i)+0.5), append(c, float64(i)+20)
	}
	if p := similarity(a, b); p < 0.99 {
		t.Errorf("p = %g of the same", p)
	}
	if p := similarity(a, c); p < 0.02 || p > 0.04 { // D = 0.2: Q(1.43)
		t.Errorf("p = %g of D = 0.2", p)
	}
}
