//go:build linux || darwin || freebsd

package term

import (
	"os"
	"os/exec"
	"testing"
)

func TestModes(t *testing.T) {
	_, tty := openPTY(t)
	stty := exec.Command("stty", "erase", "^H", "intr", "undef", "-echo", "icanon", "ixoff", "-onlcr")
	stty.Stdin = tty
	if out, err := stty.CombinedOutput(); err != nil {
		t.Skipf("%v: %s", err, out)
	}
	modes := Modes(tty)
	for name, want := range map[string]uint32{
		"verase": 8, "vintr": 255, "echo": 0, "icanon": 1, "ixoff": 1, "onlcr": 0, "opost": 1, "veof": 4,
	} {
		if got, ok := modes[name]; !ok || got != want {
			t.Errorf("%s is %d (%v), want %d", name, got, ok, want)
		}
	}
	if len(modes) > 128 {
		t.Errorf("%d modes are more than the protocol takes", len(modes))
	}
}

func TestModesOfNothing(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if Modes(null) != nil || Modes(nil) != nil {
		t.Error("modes of no terminal")
	}
}
