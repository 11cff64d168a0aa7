package listentest

import (
	"io"
	"net"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Everybody is served, and the end of the test ends everything: a talk that waits
// for its client too.
func TestListen(t *testing.T) {
	var at string
	var waiting net.Conn
	t.Run("test", func(t *testing.T) {
		at = Listen(t, func(c net.Conn) { _, _ = io.Copy(c, c) }).String()
		for range 3 {
			c, err := net.Dial("tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(c, "echo"); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
				t.Fatal(err)
			}
			if waiting != nil {
				_ = waiting.Close()
			}
			waiting = c
		}
	})
	defer waiting.Close()
	if _, err := waiting.Read(make([]byte, 1)); err != io.EOF {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", at); err == nil {
		c.Close()
		t.Error("somebody still listens")
	}
}
