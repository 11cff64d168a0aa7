package login

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rexec/rex/proto"
)

// DefaultPort is where a server listens.
const DefaultPort = 7390

// Strict is what to do about a host that is not known (StrictHostKeyChecking in
// ssh_config(5)). A host that is known with another key, or revoked, is refused
// whatever it is.
type Strict uint8

const (
	StrictAsk       Strict = iota // ask, and refuse if there is nobody to ask
	StrictYes                     // refuse
	StrictAcceptNew               // remember it and go on, unless its sshd is known with another key
	StrictNo                      // remember it and go on
)

// An Asker asks the user, on a terminal or some other way that is not the
// standard input. Every text may have parts that others chose: to be escaped.
// An error ends the login, and so does the context.
type Asker interface {
	// Answer shows a question, which may have several lines, and returns the
	// line that was answered.
	Answer(ctx context.Context, question string) (string, error)
	// Passphrase is Answer without an echo.
	Passphrase(ctx context.Context, question string) ([]byte, error)
}

// A Config says who connects, where to, and with what. The fields are named as
// in ssh_config(5), and paths are complete: nothing in them is expanded.
type Config struct {
	// Host is the name or address to connect to; Port 0 is [DefaultPort].
	Host string
	Port int
	// Alias replaces host and port where the host's key is looked up.
	Alias string
	// User is the account at the server.
	User string
	// Home is the directory whose .ssh has the defaults; without it they are
	// empty.
	Home string
	// CacheDir is where keys that worked are remembered, in a file "keys".
	// Empty remembers nothing.
	CacheDir string

	// IdentityFiles are private keys, or public ones whose private half the
	// agent has; nil is ~/.ssh/id_ed25519, id_ecdsa, id_rsa, id_ecdsa_sk and
	// id_ed25519_sk. A certificate in a file's name with "-cert.pub" appended
	// is used before its key.
	IdentityFiles    []string
	CertificateFiles []string
	// IdentitiesOnly leaves out keys of the agent that no file names.
	IdentitiesOnly bool
	// IdentityAgent is the agent's socket, "none", or "SSH_AUTH_SOCK" or empty
	// for AuthSock, which is that variable's value.
	IdentityAgent string
	AuthSock      string

	// UserKnownHostsFiles and GlobalKnownHostsFiles are read in this order, and
	// new hosts are added to the first user's file. Nil is ~/.ssh/known_hosts
	// and known_hosts2, and /etc/ssh/ssh_known_hosts and ssh_known_hosts2; what
	// is empty but not nil is no file.
	UserKnownHostsFiles   []string
	GlobalKnownHostsFiles []string
	// RevokedHostKeys is a list of keys that no host may have; if it cannot be
	// read, no host is accepted. Empty is none.
	RevokedHostKeys       string
	StrictHostKeyChecking Strict
	HashKnownHosts        bool

	// Asker asks; nil never does, which is BatchMode.
	Asker Asker
	// PassphraseTries is how often a passphrase is asked for; 0 is 3, which is
	// also the most.
	PassphraseTries int

	// EarlyData lets Dial return before the server has accepted the login, so
	// that what is written next goes in the same flight.
	EarlyData bool
	// StdinSafe says that nothing will be consumed, before the server has
	// accepted the login, that could not be sent again on another connection.
	// Without it a remembered key, of several, costs the round trip that
	// EarlyData saves: it may have been removed from the server, and then there
	// must be another login.
	StdinSafe bool

	// Network is "tcp4" or "tcp6" for one family only; empty is both.
	Network string
	// LocalAddr is the address to connect from; the zero value is any.
	LocalAddr netip.Addr

	// Dial connects, instead of TCP with Network and LocalAddr; nil is TCP.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Trace is told how long each step took; nil is nobody. It may be called by
	// whoever reads from the connection.
	Trace func(step string, took time.Duration)
	// Warn is told, in a line, what the user should know although the login
	// goes on; nil is nobody. To be escaped.
	Warn func(text string)
	// Log takes what is tried and why not: info for keys, debug for the rest.
	// Nil discards it.
	Log *slog.Logger
}

// withDefaults checks a Config and fills in what is empty.
func (c Config) withDefaults() (Config, error) {
	if c.Port == 0 {
		c.Port = DefaultPort
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Warn == nil {
		c.Warn = func(string) {}
	}
	if c.Network == "" {
		c.Network = "tcp"
	}
	if c.UserKnownHostsFiles == nil {
		c.UserKnownHostsFiles = c.inSSH("known_hosts", "known_hosts2")
	}
	if c.GlobalKnownHostsFiles == nil {
		c.GlobalKnownHostsFiles = []string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}
	}
	if c.PassphraseTries <= 0 {
		c.PassphraseTries = 3
	}
	if c.Port < 1 || c.Port > 65535 {
		return c, fmt.Errorf("port %d is not between 1 and 65535", c.Port)
	}
	if err := CheckHost(c.Host); err != nil {
		return c, err
	}
	return c, proto.CheckUser(c.User)
}

// inSSH are files in ~/.ssh.
func (c *Config) inSSH(names ...string) []string {
	if c.Home == "" {
		return nil
	}
	var files []string
	for _, name := range names {
		files = append(files, filepath.Join(c.Home, ".ssh", name))
	}
	return files
}

// CheckHost refuses what is not the name or address of a host, and would be
// something else to a shell, an option parser, a terminal or a file of hosts.
func CheckHost(host string) error {
	bad := func(r rune) bool {
		return r <= ' ' || 0x7f <= r && r <= 0xa0 || strings.ContainsRune("'`\"\\$;&<>|(){}[]*?,/@", r)
	}
	switch {
	case host == "":
		return fmt.Errorf("no host given")
	case len(host) > 255:
		return fmt.Errorf("host name of %d bytes is too long", len(host))
	case host[0] == '-':
		return fmt.Errorf("host %q begins with '-'", host)
	case !utf8.ValidString(host):
		return fmt.Errorf("host %q is not UTF-8", host)
	case strings.ContainsFunc(host, bad):
		return fmt.Errorf("host %q has a forbidden character", host)
	}
	if _, err := netip.ParseAddr(host); err != nil && strings.Contains(host, ":") {
		return fmt.Errorf("host %q is no address", host)
	}
	return nil
}
