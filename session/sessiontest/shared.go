package sessiontest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
)

// A shared is a line of the file of faults: what is wrong between two hosts.
type shared struct {
	Hosts  [2]string
	Faults faults
}

// impose changes what is wrong with a link in the file and has all processes
// read it. It panics if the file cannot be changed: a test that went on would
// test something else.
func (m *member) impose(a, b string, f func(*faults)) {
	m.mu.Lock()
	left := m.left
	m.mu.Unlock()
	if left {
		return
	}
	err := m.registry.locked(context.Background(), func() error { return m.rewrite(pairOf(a, b), f) })
	if err == nil {
		err = m.load()
	}
	if err == nil {
		err = m.tell()
	}
	if err != nil {
		panic(fmt.Sprintf("sessiontest: a fault between %q and %q: %v", a, b, err))
	}
}

// rewrite changes one line of the file. The caller has the lock.
func (m *member) rewrite(pair [2]string, f func(*faults)) error {
	all, err := m.readFaults()
	if err != nil {
		return err
	}
	i := 0
	for i < len(all) && all[i].Hosts != pair {
		i++
	}
	if i == len(all) {
		all = append(all, shared{Hosts: pair})
	}
	f(&all[i].Faults)
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return m.registry.write("faults", string(text))
}

func (m *member) readFaults() (all []shared, err error) {
	text, err := os.ReadFile(m.registry.path("faults"))
	if err != nil {
		return nil, err
	}
	return all, json.Unmarshal(text, &all)
}

// load takes over the file. An older state of it never replaces a newer one.
func (m *member) load() error {
	m.loading.Lock()
	defer m.loading.Unlock()
	all, err := m.readFaults()
	if err != nil {
		return err
	}
	for _, s := range all {
		if isName(s.Hosts[0]) && isName(s.Hosts[1]) {
			m.network.link(s.Hosts[0], s.Hosts[1]).adopt(s.Faults)
		}
	}
	return nil
}

// adopt makes the faults of a link what they are in the file. Bytes are counted
// anew only by a new DropAfter.
func (l *link) adopt(now faults) {
	if before, _ := l.state(); before == now {
		return
	}
	l.change(func(f *faults) {
		f.Cut, f.Delay = now.Cut, now.Delay
		if f.Count != now.Count {
			f.Drops, f.Left, f.Count = now.Drops, now.Left, now.Count
		}
	})
}

// tell has the other processes load the file, and waits until they have, for as
// long as a greeting may take. Who does not answer is ending, or is stopped and
// will read the news when it goes on.
func (m *member) tell() error {
	living, err := m.registry.list(processes)
	if err != nil {
		return err
	}
	for _, address := range living {
		if address == m.listener.Addr().String() {
			continue
		}
		if tcp, err := m.reach(m.ctx, address, hello{network: m.name, token: m.token}); err == nil {
			_ = tcp.Close()
		}
	}
	return nil
}
