//go:build linux || darwin || freebsd

package term

import (
	"os"
	"testing"

	"github.com/creack/pty"
)

// A terminal shows nothing in between, and is as before afterwards.
func TestNoEcho(t *testing.T) {
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer tty.Close()
	before := Modes(tty)
	again, restore, err := NoEcho(tty)
	if err != nil {
		t.Fatal(err)
	}
	during := Modes(tty)
	if before["echo"] != 1 || during["echo"] != 0 || during["isig"] != 1 || during["icanon"] != 1 || during["echonl"] != 1 {
		t.Errorf("before %v, during %v", before, during)
	}
	if err := restore(); err != nil { // as a shell does while the program is stopped
		t.Fatal(err)
	}
	if err := again(); err != nil || Modes(tty)["echo"] != 0 {
		t.Errorf("again: %v, %v", err, Modes(tty))
	}
	if err := restore(); err != nil {
		t.Fatal(err)
	}
	for name, value := range Modes(tty) {
		if before[name] != value {
			t.Errorf("%s is %d, and was %d", name, value, before[name])
		}
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if _, _, err := NoEcho(null); err == nil {
		t.Error("a file that is no terminal")
	}
}
