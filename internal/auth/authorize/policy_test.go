//go:build unix

package authorize

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/rexec/rex/internal/auth"
)

func TestPlainKey(t *testing.T) {
	key, _ := newKey(t)
	other, _ := newKey(t)
	second := "/home/alice/.ssh/authorized_keys2"
	for name, c := range map[string]struct {
		files  map[string]string
		source string // of the decision; empty: refused
		want   string
	}{
		"no file":       {nil, "", "there is no " + aliceKeys + ", no " + second},
		"skipped":       {map[string]string{aliceKeys: "# x\nfrom=\"a " + other.String() + "\n", second: other.String() + "\nssh-ed25519 AAAA\n"}, "", "it is not in " + aliceKeys + ", " + second + "; " + aliceKeys + ":2 was skipped: a quote is not closed; " + second + ":2 was skipped: "},
		"many skipped":  {map[string]string{aliceKeys: strings.Repeat("garbage\n", 50)}, "", aliceKeys + ":3 was skipped: no key of a supported type; and 47 more"},
		"not in it":     {map[string]string{aliceKeys: other.String()}, "", "not in " + aliceKeys},
		"first line":    {map[string]string{aliceKeys: key.String()}, aliceKeys + ":1", ""},
		"third line":    {map[string]string{aliceKeys: "#\n" + other.String() + "\n" + key.String() + " c\n"}, aliceKeys + ":3", ""},
		"second file":   {map[string]string{aliceKeys: "#", second: "\n" + key.String()}, second + ":2", ""},
		"only second":   {map[string]string{second: key.String()}, second + ":1", ""},
		"from fails":    {map[string]string{aliceKeys: `from="10.0.0.0/8" ` + key.String()}, "", aliceKeys + ":1: from: no pattern matches 192.0.2.7"},
		"next line":     {map[string]string{aliceKeys: `from="10.0.0.0/8" ` + key.String() + "\n" + key.String()}, aliceKeys + ":2", ""},
		"next file":     {map[string]string{aliceKeys: `expiry-time="20200101" ` + key.String(), second: key.String()}, second + ":1", ""},
		"bad line":      {map[string]string{aliceKeys: "wrong " + key.String()}, "", aliceKeys + `:1: the line is not accepted: unknown option "wrong"`},
		"bad, good":     {map[string]string{aliceKeys: "wrong " + key.String() + "\n" + key.String()}, "", ":1: the line is not accepted"},
		"bad, next one": {map[string]string{aliceKeys: "#\nwrong " + key.String(), second: key.String()}, "", aliceKeys + ":2: the line is not accepted"},
		"good, bad":     {map[string]string{aliceKeys: key.String() + "\nwrong " + key.String()}, "", "not accepted"},
		"bad of other":  {map[string]string{aliceKeys: "wrong " + other.String() + "\n" + key.String()}, aliceKeys + ":2", ""},
		"unreadable":    {map[string]string{aliceKeys: "!", second: key.String()}, "", "broken"},
		"behind":        {map[string]string{aliceKeys: key.String(), second: "!"}, aliceKeys + ":1", ""},
		"as authority":  {map[string]string{aliceKeys: "cert-authority " + key.String()}, "", "not in"},
		"too long":      {map[string]string{aliceKeys: key.String() + strings.Repeat("\n", 5000)}, "", "exceeds 4096"},
		"no newline":    {map[string]string{aliceKeys: "# " + other.String(), second: key.String()}, second + ":1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			f.files = c.files
			p := f.policy(t, nil)
			if c.source == "" {
				refused(t, p, "alice", key, c.want)
				return
			}
			d := granted(t, p, "alice", key)
			if d.Source != c.source || d.Account.Name != "alice" || d.Fingerprint != key.Fingerprint() || d.Certificate || !d.Exact || !d.PTY || d.Command != nil {
				t.Errorf("%+v", d)
			}
		})
	}
}

func TestLineOptions(t *testing.T) {
	f := newFake()
	key, _ := newKey(t)
	f.files[aliceKeys] = `restrict,pty,command="uptime",environment="A=1",verify-required,permitopen="a:1",permitlisten="7" ` + key.String()
	d := granted(t, f.policy(t, nil), "alice", key)
	if !d.PTY || d.PortForwarding || d.AgentForwarding || *d.Command != "uptime" || !d.VerificationRequired || d.Exact ||
		d.Environment != nil || fmt.Sprint(d.PermitOpen, d.PermitListen) != "[a:1] [*:7]" {
		t.Errorf("%+v", d)
	}
	d = granted(t, f.policy(t, func(c *Config) { c.PermitUserEnvironment = true }), "alice", key)
	if fmt.Sprint(d.Environment) != "[A=1]" {
		t.Errorf("%+v", d)
	}
}

// TestRestrictedShell has no way around the login shell.
func TestRestrictedShell(t *testing.T) {
	f := newFake()
	key, _ := newKey(t)
	f.files["/home/bob/.ssh/authorized_keys"] = key.String()
	if d := granted(t, f.policy(t, nil), "bob", key); d.Exact {
		t.Errorf("%+v", d)
	}
}

func TestManyLines(t *testing.T) {
	f := newFake()
	key, _ := newKey(t)
	line := `from="10.0.0.0/8" ` + key.String() + "\n"
	f.files[aliceKeys] = strings.Repeat(line, maxLines) + key.String()
	refused(t, f.policy(t, nil), "alice", key, "more than 16 such lines")
	f.files[aliceKeys] = strings.Repeat(line, maxLines-1) + key.String()
	granted(t, f.policy(t, nil), "alice", key)
}

func TestStrictModes(t *testing.T) {
	f := newFake()
	key, _ := newKey(t)
	f.files[aliceKeys] = key.String()
	granted(t, f.policy(t, nil), "alice", key)
	if !f.strictest {
		t.Error("not strict by default")
	}
	granted(t, f.policy(t, func(c *Config) { c.LaxModes = true }), "alice", key)
	if f.strictest {
		t.Error("strict")
	}
}

const (
	caFile      = "/etc/rex/ca"
	revokedFile = "/etc/rex/revoked"
)

func TestCertificate(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	forced := func(c *ssh.Certificate) { c.CriticalOptions["force-command"] = "uptime" }
	for name, c := range map[string]struct {
		change  func(*ssh.Certificate)
		trusted string // text of the file; empty: none
		line    string
		want    string // of the error
		source  string
		check   func(*Decision) bool
	}{
		"trusted":            {nil, ca.key.String(), "", "", caFile, func(d *Decision) bool { return d.PTY && d.Exact && d.UserRC && d.Command == nil }},
		"among others":       {nil, "# c\n" + other.key.String() + "\n\n" + ca.key.String() + " c\n", "", "", caFile, nil},
		"line":               {nil, "", "cert-authority " + ca.key.String(), "", aliceKeys + ":1", nil},
		"both":               {nil, ca.key.String(), "cert-authority,no-pty " + ca.key.String(), "", aliceKeys + ":1", func(d *Decision) bool { return !d.PTY }},
		"no authority":       {nil, "", "", "there is no trusted_user_ca_keys", "", nil},
		"another authority":  {nil, other.key.String(), "cert-authority " + other.key.String(), "is not trusted", "", nil},
		"authority as key":   {nil, "", ca.key.String(), "no trusted_user_ca_keys", "", nil},
		"another user":       {func(c *ssh.Certificate) { c.ValidPrincipals = []string{"bob"} }, ca.key.String(), "", "principals", "", nil},
		"nobody":             {func(c *ssh.Certificate) { c.ValidPrincipals = nil }, ca.key.String(), "", "principals", "", nil},
		"principals":         {func(c *ssh.Certificate) { c.ValidPrincipals = []string{"web"} }, "", `cert-authority,principals="db,web" ` + ca.key.String(), "", aliceKeys + ":1", nil},
		"principals only":    {nil, "", `cert-authority,principals="db,web" ` + ca.key.String(), "principals", "", nil},
		"next line":          {nil, "", `cert-authority,principals="db" ` + ca.key.String() + "\ncert-authority,no-pty " + ca.key.String(), "", aliceKeys + ":2", func(d *Decision) bool { return !d.PTY }},
		"from of the line":   {nil, "", `cert-authority,from="10.0.0.0/8" ` + ca.key.String(), "from", "", nil},
		"source":             {func(c *ssh.Certificate) { c.CriticalOptions["source-address"] = "192.0.2.0/24" }, ca.key.String(), "", "", caFile, nil},
		"another source":     {func(c *ssh.Certificate) { c.CriticalOptions["source-address"] = "10.0.0.0/8" }, ca.key.String(), "", "source address", "", nil},
		"unknown option":     {func(c *ssh.Certificate) { c.CriticalOptions["x"] = "" }, ca.key.String(), "", "critical option", "", nil},
		"expired":            {func(c *ssh.Certificate) { c.ValidBefore = uint64(now.Unix()) }, ca.key.String(), "", "expired", "", nil},
		"of a host":          {func(c *ssh.Certificate) { c.CertType = ssh.HostCert }, ca.key.String(), "", "type", "", nil},
		"no pty":             {func(c *ssh.Certificate) { delete(c.Extensions, "permit-pty") }, ca.key.String(), "", "", caFile, func(d *Decision) bool { return !d.PTY && d.AgentForwarding }},
		"pty of the line":    {func(c *ssh.Certificate) { delete(c.Extensions, "permit-pty") }, "", "cert-authority,pty " + ca.key.String(), "", aliceKeys + ":1", func(d *Decision) bool { return !d.PTY }},
		"forced":             {forced, ca.key.String(), "", "", caFile, func(d *Decision) bool { return *d.Command == "uptime" && !d.Exact }},
		"forced by the line": {nil, "", `cert-authority,command="id" ` + ca.key.String(), "", aliceKeys + ":1", func(d *Decision) bool { return *d.Command == "id" && !d.Exact }},
		"forced alike":       {forced, "", `cert-authority,command="uptime" ` + ca.key.String(), "", aliceKeys + ":1", func(d *Decision) bool { return *d.Command == "uptime" }},
		"forced otherwise":   {forced, "", `cert-authority,command="id" ` + ca.key.String(), "different commands", "", nil},
		"forced to nothing":  {forced, "", `cert-authority,command="" ` + ca.key.String(), "different commands", "", nil},
		"verify":             {func(c *ssh.Certificate) { c.CriticalOptions["verify-required"] = "" }, ca.key.String(), "", "", caFile, func(d *Decision) bool { return d.VerificationRequired }},
		"verify of the line": {nil, "", "cert-authority,verify-required " + ca.key.String(), "", aliceKeys + ":1", func(d *Decision) bool { return d.VerificationRequired }},
		// What sshd might have understood must not be passed over.
		"bad line, trusted": {nil, ca.key.String(), "cert-authority,wrong " + ca.key.String(), "not accepted", "", nil},
		"unreadable file":   {nil, ca.key.String(), "!", "broken", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			if c.line != "" {
				f.files[aliceKeys] = c.line
			}
			p := f.policy(t, func(cfg *Config) {
				if c.trusted != "" {
					f.own[caFile] = c.trusted
					cfg.TrustedUserCAKeys = caFile
				}
			})
			cert := ca.sign(t, c.change)
			if c.want != "" {
				refused(t, p, "alice", cert, c.want)
				return
			}
			d := granted(t, p, "alice", cert)
			if d.Source != c.source || !d.Certificate || d.KeyID != "alice@corp" || d.Serial != 7 || d.Authority != ca.key.Fingerprint() || c.check != nil && !c.check(d) {
				t.Errorf("%+v", d)
			}
		})
	}
}

// TestForgedCertificate has one whose signature is another's.
func TestForgedCertificate(t *testing.T) {
	ca, forger := newAuthority(t), newAuthority(t)
	blob := forger.sign(t, nil).Blob()
	forged := []byte(strings.Replace(string(blob), string(forger.key.Blob()), string(ca.key.Blob()), 1))
	key, err := auth.ParseKey(forged)
	if err != nil {
		t.Fatal(err)
	}
	f := newFake()
	f.own[caFile] = ca.key.String()
	f.files[aliceKeys] = "cert-authority " + ca.key.String()
	refused(t, f.policy(t, func(c *Config) { c.TrustedUserCAKeys = caFile }), "alice", key, "does not verify")
}

func TestRevoked(t *testing.T) {
	ca := newAuthority(t)
	key, _ := newKey(t)
	cert := ca.sign(t, nil)
	for name, c := range map[string]struct {
		list string
		key  *auth.Key
		want string
	}{
		"empty":         {"", key, ""},
		"empty, cert":   {"", cert, ""},
		"key":           {key.String(), key, "revoked"},
		"cert's key":    {cert.Plain().String(), cert, "revoked"},
		"authority":     {ca.key.String(), cert, "revoked"},
		"another":       {ca.key.String(), key, ""},
		"not a list":    {"x", key, "revoked_keys: " + revokedFile + ": line 1"},
		"unreadable":    {"!", key, "broken"},
		"of a stranger": {"!", cert, "broken"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			f.files[aliceKeys] = key.String()
			f.own[caFile], f.own[revokedFile] = ca.key.String(), ""
			p := f.policy(t, func(c *Config) { c.TrustedUserCAKeys, c.RevokedKeys = caFile, revokedFile })
			granted(t, p, "alice", c.key)
			f.own[revokedFile] = c.list
			if c.want == "" {
				granted(t, p, "alice", c.key)
				return
			}
			refused(t, p, "alice", c.key, c.want)
			f.own[revokedFile] = "# nothing"
			granted(t, p, "alice", c.key)
			delete(f.own, revokedFile)
			refused(t, p, "alice", c.key, "not exist")
		})
	}
}

// TestAuthoritiesChange reads the file each time.
func TestAuthoritiesChange(t *testing.T) {
	f := newFake()
	ca := newAuthority(t)
	cert := ca.sign(t, nil)
	f.own[caFile] = "# none yet"
	p := f.policy(t, func(c *Config) { c.TrustedUserCAKeys = caFile })
	refused(t, p, "alice", cert, "is not trusted")
	f.own[caFile] = ca.key.String()
	granted(t, p, "alice", cert)
	for text, want := range map[string]string{
		"!": "broken", "nonsense": "line 1", ca.key.String() + "\n" + cert.String(): "line 2: a certificate is no authority",
	} {
		f.own[caFile] = text
		refused(t, p, "alice", cert, want)
	}
}

func TestSourceOfIPv4InIPv6(t *testing.T) {
	f := newFake()
	key, _ := newKey(t)
	f.files[aliceKeys] = `from="192.0.2.0/24" ` + key.String()
	mapped := netip.MustParseAddrPort("[::ffff:192.0.2.9]:1")
	if _, err := f.policy(t, nil).Authorize(t.Context(), "alice", key, mapped, local); err != nil {
		t.Error(err)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no system":       {func(c *Config) { c.System = nil }, "no system"},
		"a pattern":       {func(c *Config) { c.AllowUsers = []string{"a*"} }, "is a pattern"},
		"a host":          {func(c *Config) { c.DenyUsers = []string{"a@b"} }, "from="},
		"an empty name":   {func(c *Config) { c.DenyGroups = []string{""} }, "empty name"},
		"a space":         {func(c *Config) { c.AllowUsers = []string{"a b"} }, "is not a name"},
		"no such group":   {func(c *Config) { c.AllowGroups = []string{"opps"} }, `no group "opps"`},
		"no denied group": {func(c *Config) { c.DenyGroups = []string{"opps"} }, `no group "opps"`},
		"a wrong root":    {func(c *Config) { c.PermitRoot = "prohibit-password" }, "is not yes, no or"},
		"a token":         {func(c *Config) { c.AuthorizedKeys = []string{"/keys/%k"} }, "%k"},
		"relative":        {func(c *Config) { c.RevokedKeys = "revoked" }, "not an absolute path"},
		"missing":         {func(c *Config) { c.RevokedKeys = "/missing" }, "revoked_keys: open /missing"},
		"missing CA":      {func(c *Config) { c.TrustedUserCAKeys = "/missing" }, "trusted_user_ca_keys: open /missing"},
	} {
		cfg := Config{AllowUsers: []string{"alice"}, System: newFake()}
		c.change(&cfg)
		if p, err := New(cfg); p != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOneLine(t *testing.T) {
	err := oneLine(errors.Join(errBroken, errNoLine))
	if err.Error() != "broken; no authorized_keys line counts" || !errors.Is(err, errNoLine) {
		t.Error(err)
	}
}
