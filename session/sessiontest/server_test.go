//go:build unix

package sessiontest

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/rexec/rex/session"
)

func TestServer(t *testing.T) {
	srv := NewServer(t)
	cmd := srv.Client().Command("sort", "-r")
	cmd.Stdin = strings.NewReader("a\nb\n")
	if out, err := cmd.Output(); string(out) != "b\na\n" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	var exit *session.ExitError
	if err := srv.Client().Shell("exit 7").Run(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Error(err)
	}
	other := srv.Dial(nil)
	if other == srv.Client() {
		t.Error("one client for two")
	}
	must(t, other.Command("true").Run())
	must(t, other.Close())
}

// Many commands of many clients, with input and output.
func TestServerManyClients(t *testing.T) {
	srv := NewServer(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			client := srv.Dial(nil)
			defer client.Close()
			for range 8 {
				data := bytes.Repeat([]byte("0123456789abcdef"), 10_000)
				cmd := client.Command("cat")
				cmd.Stdin = bytes.NewReader(data)
				if out, err := cmd.Output(); !bytes.Equal(out, data) || err != nil {
					t.Errorf("%d bytes, %v", len(out), err)
				}
			}
		})
	}
	wg.Wait()
}

// A connection that is dropped in the middle is never success.
func TestServerFaults(t *testing.T) {
	srv := NewServer(t)
	srv.Network().DropAfter("client", "server", 100_000)
	out, err := srv.Client().Shell("head -c 1000000 /dev/zero").Output()
	if !errors.Is(err, session.ErrConnLost) || len(out) > 100_000 {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}

// A link that is still cut at the end of the test is in nobody's way.
func TestServerEndsBehindACut(t *testing.T) {
	t.Run("test", func(t *testing.T) {
		srv := NewServer(t)
		must(t, srv.Client().Command("sleep", "1000").Start())
		srv.Network().Cut("client", "server")
	})
}

// The end of a test ends what still runs.
func TestServerEnds(t *testing.T) {
	var cmd *session.Cmd
	t.Run("test", func(t *testing.T) {
		cmd = NewServer(t).Client().Command("sleep", "1000")
		must(t, cmd.Start())
	})
	if err := cmd.Wait(); err == nil {
		t.Error("it ran to its end")
	}
}

func TestServeRefuses(t *testing.T) {
	srv := NewServerWith(t, &session.Server{})
	if err := srv.Client().Command("true").Run(); err == nil {
		t.Error("a server without a handler ran a command")
	}
}
