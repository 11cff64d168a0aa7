package cli

import (
	"testing"

	"github.com/rexec/rex/session"
)

func TestLadder(t *testing.T) {
	group := func(name string) step { return step{signal: name, to: session.ToGroup} }
	tree := func(name string) step { return step{signal: name, to: session.ToTree, after: endTime} }
	for _, c := range []struct {
		name   string
		keep   bool
		events []event
		want   []step
	}{
		{"interrupts", false, []event{eventInterrupt, eventInterrupt, eventInterrupt}, []step{group("INT"), group("TERM"), {giveUp: true}}},
		{"term", false, []event{eventTerminate, eventTimeout, eventTimeout}, []step{tree("TERM"), tree("KILL"), {giveUp: true}}},
		{"hup", false, []event{eventHangup, eventTimeout, eventTimeout}, []step{tree("HUP"), tree("KILL"), {giveUp: true}}},
		{"quit", false, []event{eventQuit, eventTimeout}, []step{tree("QUIT"), tree("KILL")}},
		{"twice", false, []event{eventHangup, eventTerminate, eventTerminate}, []step{tree("HUP"), tree("KILL"), {giveUp: true}}},
		{"interrupts do not shorten it", false, []event{eventTerminate, eventInterrupt, eventTimeout}, []step{tree("TERM"), group("INT"), tree("KILL")}},
		{"keep, hup", true, []event{eventHangup}, []step{{giveUp: true}}},
		{"keep, term", true, []event{eventTerminate, eventTimeout}, []step{tree("TERM"), tree("KILL")}},
		{"no timer runs", false, []event{eventTimeout, eventInterrupt}, []step{{}, group("INT")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := ladder{keep: c.keep}
			for i, e := range c.events {
				got := l.take(e)
				got.say = ""
				if got != c.want[i] {
					t.Errorf("step %d: %+v, want %+v", i, got, c.want[i])
				}
			}
		})
	}
}

// Whatever comes, rex ends: enough signals of any kind lead to giving up.
func TestLadderEnds(t *testing.T) {
	for e := eventInterrupt; e <= eventQuit; e++ {
		l := ladder{}
		for i := range 4 {
			if l.take(e).giveUp {
				break
			}
			if i == 3 {
				t.Errorf("event %d never gives up", e)
			}
		}
	}
}
