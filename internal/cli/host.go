package cli

import (
	"errors"
	"net"
	"net/url"
	"strings"

	"github.com/rexec/rex/internal/login"
	"github.com/rexec/rex/proto"
)

// targetKind is how a host is reached.
type targetKind int

const (
	targetNetwork targetKind = iota // a name or an address
	targetUnix                      // a daemon's socket on this machine
	targetLocal                     // a daemon that rex starts for itself
)

// A target is the host of a command line.
type target struct {
	text string // as it was typed
	kind targetKind
	user string // empty if the host does not name one
	host string // targetNetwork: name or address, without brackets
	port int    // 0 if the host does not name one
	path string // targetUnix
}

// parseTarget understands name, address, host:port, [address]:port,
// ssh://user@host:port, unix:/path and local:, each with user@ in front.
func parseTarget(s string) (target, error) {
	t := target{text: s}
	rest, isURL := strings.CutPrefix(s, "ssh://")
	if isURL {
		return t.parseURL(rest)
	}
	if scheme, _, ok := strings.Cut(s, "://"); ok && !strings.HasPrefix(s, "unix:") {
		return t, usage("%q is a URL of kind %q, and rex takes ssh:// only", s, scheme).withHint("rex ssh://user@host:%d command", defaultPort)
	}
	if user, name, ok := cutUser(s); ok {
		if user == "" {
			return t, usage("no user before the @ in %q", s).withHint("rex user@host command")
		}
		t.user, rest = user, name
	}
	switch path, isUnix := strings.CutPrefix(rest, "unix:"); {
	case rest == "local:":
		t.kind = targetLocal
		return t, nil
	case isUnix:
		t.kind, t.path = targetUnix, path
		if path == "" {
			return t, usage("no path in %q", s).withHint("rex unix:/path/to/socket command")
		}
		return t, nil
	}
	return t.parseHost(rest)
}

// cutUser cuts at the last @ before a path, as names of users may have one.
func cutUser(s string) (user, rest string, ok bool) {
	if strings.HasPrefix(s, "unix:") {
		return "", s, false
	}
	end := strings.Index(s, "@unix:")
	if end < 0 {
		end = strings.LastIndexByte(s, '@')
	}
	if end < 0 {
		return "", s, false
	}
	return s[:end], s[end+1:], true
}

// parseURL takes what follows ssh://, which may be percent-encoded in the user.
func (t target) parseURL(s string) (target, error) {
	bad := usage("bad URL %q", t.text).withHint("rex ssh://user@host:%d command", defaultPort)
	s = strings.TrimSuffix(s, "/")
	if user, rest, ok := cutUser(s); ok {
		name, err := url.PathUnescape(user)
		if err != nil || name == "" {
			return t, bad
		}
		t.user, s = name, rest
	}
	if strings.Contains(s, "/") {
		return t, bad
	}
	return t.parseHost(s)
}

// parseHost takes a name or an address with or without a port.
func (t target) parseHost(s string) (target, error) {
	host, port := s, ""
	switch {
	case strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]"):
		host = s[1 : len(s)-1]
	case strings.HasPrefix(s, "["), strings.Count(s, ":") == 1:
		var err error
		if host, port, err = net.SplitHostPort(s); err != nil || port == "" {
			return t, usage("bad host %q", t.text).withHint("rex host:%d command, or rex [address]:%d command", defaultPort, defaultPort)
		}
	}
	if port != "" {
		n, err := parsePort(port)
		if err != nil {
			return t, err
		}
		t.port = n
	}
	t.host = host
	return t, checkHost(host)
}

// checkHost is [login.CheckHost] with a hint.
func checkHost(host string) error {
	err := login.CheckHost(host)
	switch {
	case err == nil:
		return nil
	case host == "":
		return usage("%v", err).withHint("rex user@host command, or rex help")
	case strings.Contains(host, ":"):
		return usage("%v", err).withHint("rex host:%d command, or rex [address]:%d command", defaultPort, defaultPort)
	}
	return usage("%v", err).withHint("rex user@host command")
}

// checkUser refuses what is no name of a user.
func checkUser(name string) error {
	err := proto.CheckUser(name)
	if refused, ok := errors.AsType[*proto.AuthError](err); ok {
		return usage("%s", strings.TrimPrefix(refused.Reason, "auth: ")).withHint("rex user@host command")
	}
	return err
}

// tokenHost is %h: the name to connect to.
func (v *invocation) tokenHost() string {
	if v.hostName.set {
		return v.hostName.value
	}
	return v.target.host
}
