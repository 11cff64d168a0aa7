//go:build linux || darwin || freebsd

package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rexec/rex/internal/transport"
)

func TestCheck(t *testing.T) {
	path := socketPath(t)
	name := writeConfig(t, fmt.Sprintf("listen = [%q]\nmax_commands = 9\ndrain = '90s'\nlog_level = 'warn'\ntree = 'group'", "unix:"+path))
	got := runToEnd(t, command(t, "--check", "--config", name))
	if got.code != exitOK || got.stderr != "" {
		t.Fatalf("%+v", got)
	}
	users := "users:        " + userName() + " (uid "
	if os.Geteuid() == 0 {
		users = "users:        root only, on Unix sockets\n"
	}
	for _, want := range []string{
		"config:       " + name + "\n",
		"listen:       unix:" + path + "\n",
		users,
		"tree:         group (",
		"max_commands: 9 at once in a session\n",
		"drain:        1m30s\n",
		"log_level:    warn\n",
		"\nok\n",
	} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("%q is not in\n%s", want, got.stdout)
		}
	}
	if left, _ := filepath.Glob(path + "*"); len(left) > 0 {
		t.Errorf("it made %v", left)
	}
}

func TestCheckDefaults(t *testing.T) {
	got := runToEnd(t, command(t, "--check", "--listen", "unix:"+socketPath(t)))
	if got.code != exitOK || !strings.Contains(got.stdout, "config:       none (/") || !strings.Contains(got.stdout, "tree:         ") {
		if _, err := os.Stat("/etc/rex/rexd.toml"); errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%+v", got)
		}
	}
}

// TestCheckBesideDaemon is what somebody does before a reload.
func TestCheckBesideDaemon(t *testing.T) {
	r := start(t)
	if got := runToEnd(t, command(t, "--check", "--listen", "unix:"+r.path)); got.code != exitOK {
		t.Errorf("%+v", got)
	}
	if err := r.dial().Command("true").Run(); err != nil {
		t.Error(err)
	}
}

func TestCheckFinds(t *testing.T) {
	file := socketPath(t)
	root := "rexd: error: rexd runs as root"
	if os.Geteuid() != 0 {
		root = "rexd: error: key file /nonexistent"
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open := socketPath(t)
	if err := os.Chmod(filepath.Dir(open), 0o777); err != nil {
		t.Fatal(err)
	}
	exposed := writeConfig(t, "")
	if err := os.Chmod(exposed, 0o666); err != nil {
		t.Fatal(err)
	}
	inOpen := filepath.Join(filepath.Dir(open), "it's")
	if err := os.WriteFile(inOpen, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	move := "rexd: hint: move the file to /etc/rex/rexd.toml, where only root writes\n"
	if os.Geteuid() != 0 {
		move = "rexd: hint: others can change " + filepath.Dir(open) + "; have the file where only " + userName() + " writes\n"
	}
	const network = "listen = [':0']\nallow_users = ['root']\nsshd_policy_acknowledged = true\n"
	noAuthority := writeConfig(t, "\ntrusted_user_ca_keys = '/nonexistent/ca'\n"+network)
	exposedList := writeConfig(t, fmt.Sprintf("revoked_keys = %q\n", exposed)+network)
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{nil, []string{"rexd: error: no address to listen on\n", "rexd: hint: "}},
		{[]string{"--listen", "unix:" + file}, []string{"rexd: error: socket " + file + ": there is something that is not a socket"}},
		{[]string{"--listen", "unix:" + file, "--listen", "unix:" + open}, []string{"rexd: error: socket " + file, "rexd: error: socket " + open + ": everybody may write"}},
		{[]string{"--config", writeConfig(t, "foo = 1")}, []string{":1:1: unknown key foo"}},
		{[]string{"--listen", ":0", "--host-key", "/nonexistent"}, []string{root, "key file /nonexistent: no such file", "ssh-keygen -t ed25519 -N '' -f /nonexistent makes one"}},
		{[]string{"--config", "/nonexistent"}, []string{"cannot read the configuration"}},
		{[]string{"--config", exposed}, []string{"rexd: error: cannot read the configuration: everybody may write " + exposed + " (mode 666)\nrexd: hint: chmod go-w " + exposed + "\n"}},
		{[]string{"--config", inOpen}, []string{move}},
		{[]string{"--listen", "unix:" + file + ".d/e/s"}, []string{"rexd: error: socket " + file + ".d/e/s: ", "rexd: hint: mkdir -p -m 700 " + file + ".d/e\n"}},
		{[]string{"--config", noAuthority}, []string{noAuthority + ":2: trusted_user_ca_keys: open /nonexistent/ca: no such file or directory\n2| trusted_user", "rexd: hint: install -m 644 /dev/null /nonexistent/ca makes"}},
		{[]string{"--config", exposedList}, []string{exposedList + ":1: revoked_keys: ", "rexd: hint: chown " + userName() + " " + exposed + " && chmod go-w " + exposed + "\n"}},
	} {
		got := runToEnd(t, command(t, append(tt.args, "--check")...))
		if got.code != exitError || strings.Contains(got.stdout, "ok\n") {
			t.Errorf("%v: exit %d, %s", tt.args, got.code, got.stdout)
		}
		for _, want := range tt.want {
			if !strings.Contains(got.stderr, want) {
				t.Errorf("%v: %q is not in\n%s", tt.args, want, got.stderr)
			}
		}
	}
}

func TestHints(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&transport.InUseError{Path: "/s", PID: 42}, "kill 42"},
		{&transport.InUseError{Path: "/s"}, "another path"},
		{fmt.Errorf("x: %w", &transport.UnsafePathError{Path: "/s"}), "in a directory that nobody else can write to"},
		{errors.New("other"), ""},
		{usageErrorf("", "x"), ""},
		{usageErrorf("type this", "x"), "type this"},
	} {
		if got := hintFor(tt.err); !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%v: %q, want %q", tt.err, got, tt.want)
		}
	}
}
