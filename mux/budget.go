package mux

import "time"

const (
	budgetBurst = 200
	budgetRate  = 100 // per second
)

// budget bounds what a peer may send that asks for work and moves nothing: pings, window updates for streams that need
// none, and frames that have neither flags nor a length. A rex peer sends next to nothing of it (a window update may
// cross a FIN, and yamux has no empty frames), so only what a foreign one does in good faith has to fit.
type budget struct {
	level float64 // spent and not yet paid back
	at    time.Time
}

// spend takes one unit and reports whether there was one.
func (b *budget) spend(now time.Time) bool {
	b.level = max(0, b.level-now.Sub(b.at).Seconds()*budgetRate)
	b.at = now
	if b.level+1 > budgetBurst {
		return false
	}
	b.level++
	return true
}
