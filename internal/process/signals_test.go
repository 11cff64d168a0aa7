//go:build unix

package process

import (
	"errors"
	"runtime"
	"strconv"
	"syscall"
	"testing"
)

func TestSignalNames(t *testing.T) {
	for name, want := range map[string]syscall.Signal{
		"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "TERM": syscall.SIGTERM,
		"USR1": syscall.SIGUSR1, "WINCH": syscall.SIGWINCH, "CLD": syscall.SIGCHLD, "IOT": syscall.SIGABRT,
	} {
		if got, err := signalNumber(name); err != nil || got != want {
			t.Errorf("%s: %v %v, want %v", name, got, err, want)
		}
	}
	for _, name := range []string{"", "SIGTERM", "term", "9", "0", "-1", "RTMIN-1", "RTMAX+1", "RTMIN+31", "RTMAX-31", "RTMIN+", "RTMIN+x", "RTMIN++1", "RTMIN+999"} {
		if got, err := signalNumber(name); !errors.Is(err, ErrUnknownSignal) {
			t.Errorf("%q: %v %v, want none", name, got, err)
		}
	}
}

func TestSignalNamesRoundTrip(t *testing.T) {
	for n := 1; n <= max(realtimeMax, 31); n++ {
		name := signalName(syscall.Signal(n))
		if name == strconv.Itoa(n) { // no name: 32 and 33 on Linux
			continue
		}
		if got, err := signalNumber(name); err != nil || got != syscall.Signal(n) {
			t.Errorf("%d is %q, which is %v %v", n, name, got, err)
		}
	}
}

func TestRealtimeSignals(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Linux only")
	}
	for name, want := range map[string]int{"RTMIN": 34, "RTMIN+0": 34, "RTMIN+30": 64, "RTMAX": 64, "RTMAX-30": 34} {
		if got, err := signalNumber(name); err != nil || int(got) != want {
			t.Errorf("%s: %d %v, want %d", name, int(got), err, want)
		}
	}
	eachMode(t, func(t *testing.T, s *Spawner) {
		p := start(t, s, command("sleep", "100"))
		if err := p.Signal("RTMIN+3", ToGroup); err != nil {
			t.Fatal(err)
		}
		if state, err := p.Wait(); err != nil || state.Signal != 37 || state.SignalName != "RTMIN+3" {
			t.Errorf("%+v %v", state, err)
		}
	})
}
