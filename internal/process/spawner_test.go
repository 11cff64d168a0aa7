//go:build unix

package process

import (
	"bytes"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

func TestModeDemanded(t *testing.T) {
	if _, err := NewSpawner(Options{Mode: "magic"}); err == nil || !strings.Contains(err.Error(), "magic") {
		t.Errorf("an unknown mode: %v", err)
	}
	if _, err := NewSpawner(Options{Mode: ModeKeeper}); err == nil || !strings.Contains(err.Error(), "no keeper") {
		t.Errorf("keepers without a program: %v", err)
	}
	if _, err := NewSpawner(Options{Mode: ModeKeeper, Keeper: []string{"/no/such/keeper"}}); err == nil {
		t.Error("a keeper program that does not exist is accepted")
	}
	s := newSpawner(t, Options{Mode: ModeGroup})
	if s.Mode() != ModeGroup || !strings.Contains(s.Reason(), "demanded") {
		t.Errorf("mode %s, reason %q", s.Mode(), s.Reason())
	}
}

func TestModeChosen(t *testing.T) {
	var log bytes.Buffer
	s := newSpawner(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if runtime.GOOS == "linux" && s.Mode() == ModeGroup {
		t.Errorf("mode %s although there is a keeper", s.Mode())
	}
	if s.Mode() == ModeKeeper && !strings.Contains(s.Reason(), "no cgroup") {
		t.Errorf("mode %s, reason %q: it does not say why not better", s.Mode(), s.Reason())
	}
	if strings.Contains(s.Reason(), "\n") || !strings.Contains(log.String(), string(s.Mode())) {
		t.Errorf("reason %q, log %q", s.Reason(), log.String())
	}
}

func TestSpawnersSideBySide(t *testing.T) {
	eachMode(t, func(t *testing.T, s *Spawner) {
		other := newSpawner(t, Options{Mode: s.Mode()})
		p := start(t, s, shell("read x; exit 1"))
		q := start(t, other, shell("sleep 100"))
		third := newSpawner(t, Options{Mode: s.Mode()}) // must not take us for dead
		if err := third.Close(); err != nil {
			t.Error(err)
		}
		if state, err := p.Wait(); err != nil || state.Code != 1 {
			t.Errorf("%+v %v", state, err)
		}
		if err := q.Kill(); err != nil {
			t.Error(err)
		}
		if state, err := q.Wait(); err != nil || state.SignalName != "KILL" {
			t.Errorf("%+v %v", state, err)
		}
	})
}

func TestMarkListed(t *testing.T) {
	needProc(t)
	fd, err := syscall.Dup(0) // without close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := markListed("/proc/self/fd"); err != nil {
		t.Fatal(err)
	}
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
	if errno != 0 || flags&syscall.FD_CLOEXEC == 0 {
		t.Errorf("flags %d %v", flags, errno)
	}
	if err := markListed(t.TempDir() + "/none"); !os.IsNotExist(err) {
		t.Errorf("no list: %v", err)
	}
}
