package session

import (
	"sync"

	"github.com/rexec/rex/proto"
)

// maxRequests bounds the signals and sizes of one command that wait, for
// example while its start hangs.
const maxRequests = 128

// requests are the signals and sizes of one command that wait, in their order.
// When there are too many, those that a later one makes pointless are dropped:
// of the same signal to the same target the last one stays, as of signals that
// a process has pending, and of sizes the last.
type requests struct {
	came chan struct{} // has room for one: something waits

	mu   sync.Mutex
	list []*proto.Message
}

func newRequests() *requests { return &requests{came: make(chan struct{}, 1)} }

// put adds a request and reports whether there was room.
func (r *requests) put(m *proto.Message) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, m)
	if len(r.list) > maxRequests {
		r.list = lastOfEach(r.list)
	}
	select {
	case r.came <- struct{}{}:
	default:
	}
	return len(r.list) <= maxRequests
}

// take returns what waits.
func (r *requests) take() []*proto.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.list
	r.list = nil
	return list
}

// lastOfEach keeps the last of the requests that are the same.
func lastOfEach(list []*proto.Message) []*proto.Message {
	type key struct {
		name string // empty: a size
		to   Target
	}
	last := make(map[key]int)
	keys := make([]key, len(list))
	for i, m := range list {
		if m.Signal != nil {
			keys[i] = key{m.Signal.Name, m.Signal.To}
		}
		last[keys[i]] = i
	}
	var out []*proto.Message
	for i, m := range list {
		if last[keys[i]] == i {
			out = append(out, m)
		}
	}
	return out
}
