//go:build linux || darwin || freebsd

package daemon

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/rexec/rex/internal/auth"
)

// A hostKey is a key of this host and the file that it is in.
type hostKey struct {
	file string
	key  *auth.HostKey
}

// attrs are for the log.
func (k hostKey) attrs() []any {
	attrs := []any{"type", k.key.Key().Type(), "fingerprint", k.key.Key().Fingerprint(), "file", k.file}
	if k.key.Certificate() != nil {
		attrs = append(attrs, "certificate", k.file+"-cert.pub")
	}
	return attrs
}

// sshdKeys are the files that hold sshd's keys, from the best one on.
func sshdKeys() []string {
	return []string{"/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_ecdsa_key", "/etc/ssh/ssh_host_rsa_key"}
}

// A keySource is where this host's keys come from.
type keySource struct {
	named []string // files that must be there
	usual []string // files that count if there are no named ones
	own   string   // is made if there are no others; empty if there is no place for it
}

// keySource chooses for a process of the user uid.
func (s *loginSettings) keySource(uid int, getenv func(string) string) keySource {
	src := keySource{named: s.hostKeys}
	dir := stateDir(uid, getenv)
	if uid == 0 {
		src.usual = sshdKeys()
	}
	if dir != "" {
		src.own = filepath.Join(dir, "host_ed25519_key")
	}
	return src
}

// stateDir is where rexd keeps what it made; empty if uid has no home.
func stateDir(uid int, getenv func(string) string) string {
	switch state, home := getenv("XDG_STATE_HOME"), getenv("HOME"); {
	case uid == 0:
		return "/var/lib/rex"
	case filepath.IsAbs(state):
		return filepath.Join(state, "rex")
	case filepath.IsAbs(home):
		return filepath.Join(home, ".local/state/rex")
	}
	return ""
}

// load loads the keys. If there is none, and create says so, it makes one;
// otherwise the result is empty.
func (src keySource) load(create bool) ([]hostKey, error) {
	keys, err := loadKeys(src.named, false)
	if err != nil || len(keys) > 0 {
		return keys, err
	}
	keys, err = loadKeys(src.usual, true)
	if err != nil || len(keys) > 0 {
		return keys, err
	}
	if src.own == "" {
		return nil, usageErrorf("rexd --host-key FILE; ssh-keygen -t ed25519 -N '' -f FILE makes one", "no host key, and no home directory to keep one in")
	}
	keys, err = loadKeys([]string{src.own}, true)
	if err != nil || len(keys) > 0 || !create {
		return keys, err
	}
	if _, err := auth.CreateHostKey(src.own); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return loadKeys([]string{src.own}, false)
}

func loadKeys(files []string, mayMiss bool) ([]hostKey, error) {
	var keys []hostKey
	seen := map[string]string{}
	for _, file := range files {
		key, err := auth.LoadHostKey(file)
		if mayMiss && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		kind := key.Key().Type()
		if first := seen[kind]; first != "" {
			return nil, usageErrorf("name one key of each type", "host keys %s and %s are both of type %s", first, file, kind)
		}
		seen[kind] = file
		keys = append(keys, hostKey{file, key})
	}
	return keys, nil
}

// hintKeyFile says how to mend the file of a host key.
func hintKeyFile(e *auth.KeyFileError) string {
	path := shellQuote(e.Path)
	private, isPublic := strings.CutSuffix(e.Path, ".pub")
	switch {
	case isPublic && !strings.HasSuffix(private, "-cert"):
		return "the private key is needed: rexd --host-key " + shellQuote(private)
	case errors.Is(e, auth.ErrExposed):
		return "chmod 600 " + path + ", and chown it to the user who runs rexd"
	case errors.Is(e, fs.ErrNotExist):
		return "ssh-keygen -t ed25519 -N '' -f " + path + " makes one"
	case errors.Is(e, fs.ErrPermission):
		return "run rexd as the owner of " + path + ", or name another key: rexd --host-key FILE"
	}
	return "name another key: rexd --host-key FILE, or host_keys = [...] in the configuration"
}
