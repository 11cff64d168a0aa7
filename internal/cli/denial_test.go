package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/login"
)

// Somebody who accepts and says nothing is not a firewall.
func TestSilentPeer(t *testing.T) {
	r := testRunner(t, "host:17", "id")
	r.trace("connect", time.Millisecond)
	f := r.explainLogin(fmt.Errorf("login: %w", context.DeadlineExceeded))
	if f.msg != "what listens on port 17 of host accepts connections and says nothing" || !strings.Contains(f.hint, "ss -ltnp 'sport = :17'") {
		t.Errorf("%+v", f)
	}
	f = testRunner(t, "host:17", "id").explainLogin(context.DeadlineExceeded)
	if strings.Contains(f.msg, "says nothing") || !strings.Contains(f.hint, "firewall") {
		t.Errorf("not reached: %+v", f)
	}
}

// Where the agent is the only reason, it is named.
func TestAgentHint(t *testing.T) {
	r := testRunner(t, "host", "id")
	for socket, want := range map[string]string{"/s": "ssh-add -l", "/a b": "SSH_AUTH_SOCK='/a b' ssh-add -l"} {
		r.env.Getenv = func(string) string { return "/s" }
		f := r.explainLogin(&login.NoKeysError{Skipped: []error{&auth.AgentError{Socket: socket, Err: errors.New("it does not answer")}}})
		if f.hint != want || !strings.Contains(f.msg, "agent "+socket+": it does not answer") {
			t.Errorf("%+v, want %q", f, want)
		}
	}
}
