//go:build unix

package authorize

import (
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/rexec/rex/internal/auth"
)

// A forced command of that form, and the configuration, bind a login to a
// service; neither sets free what the other binds.
func TestServiceRules(t *testing.T) {
	key, _ := newKey(t)
	ca := newAuthority(t)
	cert := ca.sign(t, nil)
	forced := func(command string) *auth.Key {
		return ca.sign(t, func(c *ssh.Certificate) { c.CriticalOptions["force-command"] = command })
	}
	byCA := "cert-authority "
	other, _ := newKey(t)
	for name, c := range map[string]struct {
		key     *auth.Key
		options string
		keys    map[string]string // of the configuration
		service string            // of the decision
		command string
		want    string // of the error
	}{
		"free":              {key, "", nil, "", "", ""},
		"line":              {key, `restrict,command="internal-service up" `, nil, "up", "internal-service up", ""},
		"blanks":            {key, `command=" internal-service   up " `, nil, "up", " internal-service   up ", ""},
		"another command":   {key, `command="internal-servicex up" `, nil, "", "internal-servicex up", ""},
		"a path":            {key, `command="/bin/internal-service up" `, nil, "", "/bin/internal-service up", ""},
		"no name":           {key, `command="internal-service" `, nil, "", "", "the forced command is not internal-service NAME"},
		"an argument":       {key, `command="internal-service up now" `, nil, "", "", "the forced command is not"},
		"two commands":      {key, `command="internal-service up; id" `, nil, "", "", "the forced command is not"},
		"certificate":       {forced("internal-service up"), byCA, nil, "up", "internal-service up", ""},
		"line, certificate": {forced("internal-service up"), `cert-authority,command="internal-service up" `, nil, "up", "internal-service up", ""},
		"they differ":       {forced("internal-service up"), `cert-authority,command="internal-service down" `, nil, "", "", "different commands"},
		"one is a service":  {forced("id"), `cert-authority,command="internal-service up" `, nil, "", "", "different commands"},
		"config":            {key, "", map[string]string{key.Fingerprint(): "up"}, "up", "internal-service up", ""},
		"config, other key": {key, "", map[string]string{other.Fingerprint(): "up"}, "", "", ""},
		"config and line":   {key, `command="internal-service up" `, map[string]string{key.Fingerprint(): "up"}, "up", "internal-service up", ""},
		"config, otherwise": {key, `command="internal-service up" `, map[string]string{key.Fingerprint(): "down"}, "", "", `bound to the service "down", and by /home/alice/.ssh/authorized_keys:1 to "internal-service up"`},
		"config, command":   {key, `command="id" `, map[string]string{key.Fingerprint(): "up"}, "", "", `to "id"`},
		"config, no from":   {key, `from="10.0.0.0/8" `, map[string]string{key.Fingerprint(): "up"}, "", "", "from: no pattern"},
		"config, certified": {cert, byCA, map[string]string{cert.Plain().Fingerprint(): "up"}, "up", "internal-service up", ""},
		"config, authority": {cert, byCA, map[string]string{ca.key.Fingerprint(): "up"}, "up", "internal-service up", ""},
		"config, both":      {cert, byCA, map[string]string{ca.key.Fingerprint(): "up", cert.Fingerprint(): "up"}, "up", "internal-service up", ""},
		"config, two":       {cert, byCA, map[string]string{ca.key.Fingerprint(): "up", cert.Fingerprint(): "down"}, "", "", `bound to the service "up", and by`},
		"config, forced":    {forced("id"), byCA, map[string]string{ca.key.Fingerprint(): "up"}, "", "", `to "id"`},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			line := c.key
			if line.IsCert() {
				line = line.Authority()
			}
			f.files[aliceKeys] = c.options + line.String()
			p := f.policy(t, func(cfg *Config) { cfg.ServiceKeys = c.keys })
			if c.want != "" {
				refused(t, p, "alice", c.key, c.want)
				return
			}
			d := granted(t, p, "alice", c.key)
			if d.Service != c.service || (d.Command != nil) != (c.command != "") || d.Command != nil && *d.Command != c.command || d.Exact != (c.command == "") {
				t.Errorf("%+v", d)
			}
		})
	}
}

// What a line withholds stays withheld of a key that the configuration binds.
func TestServiceKeepsRestrictions(t *testing.T) {
	key, _ := newKey(t)
	f := newFake()
	f.files[aliceKeys] = "restrict,verify-required " + key.String()
	p := f.policy(t, func(cfg *Config) { cfg.ServiceKeys = map[string]string{key.Fingerprint(): "up"} })
	if d := granted(t, p, "alice", key); d.Service != "up" || d.PTY || !d.VerificationRequired {
		t.Errorf("%+v", d)
	}
}

// Root may log in with forced commands only: a service is one.
func TestServiceOfRoot(t *testing.T) {
	key, _ := newKey(t)
	f := newFake()
	const rootKeys = "/root/.ssh/authorized_keys"
	f.files[rootKeys] = key.String()
	change := func(keys map[string]string) func(*Config) {
		return func(cfg *Config) { cfg.PermitRoot, cfg.ServiceKeys = RootForcedOnly, keys }
	}
	refused(t, f.policy(t, change(nil)), "root", key, "forced command only")
	granted(t, f.policy(t, change(map[string]string{key.Fingerprint(): "up"})), "root", key)
	f.files[rootKeys] = `command="internal-service up" ` + key.String()
	granted(t, f.policy(t, change(nil)), "root", key)
}

// A listener binds too.
func TestBind(t *testing.T) {
	d := everything()
	d.Exact = true
	if err := d.Bind("up"); err != nil || d.Service != "up" || *d.Command != "internal-service up" || d.Exact {
		t.Errorf("%+v, %v", d, err)
	}
	if err := d.Bind("up"); err != nil {
		t.Errorf("once more: %v", err)
	}
	if err := d.Bind("down"); err == nil || d.Service != "up" {
		t.Errorf("to another: %+v, %v", d, err)
	}
}
