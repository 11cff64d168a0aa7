package authkeys

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxPrincipals is how many names of a principals= sshd looks at.
const maxPrincipals = 40

// Options are those of a line. Where nothing else is said the zero value is
// that of a line without the option.
type Options struct {
	CertAuthority bool     // the key signs certificates, and does not log in itself
	Principals    []string // of a CertAuthority; nil: none given, otherwise not empty
	Command       *string  // to be run whatever is asked for, also if it is empty
	From          []Pattern
	Environment   []string  // NAME=value, each name once
	Expiry        time.Time // the last moment at which the line counts

	Restrict bool // it was given; its effect is in Capabilities
	Capabilities

	PermitOpen   []string // host:port, where port may be *
	PermitListen []string // as PermitOpen; without a host it is *
	Tunnel       string   // a number or any

	VerifyRequired bool
	TouchRequired  bool // always true: no-touch-required has no effect
}

// Capabilities are what a line may take away: restrict clears them all, whichever
// there will be. Without options all are set.
type Capabilities struct {
	PTY             bool
	AgentForwarding bool
	PortForwarding  bool
	X11Forwarding   bool
	UserRC          bool
}

func everything() Capabilities {
	return Capabilities{PTY: true, AgentForwarding: true, PortForwarding: true, X11Forwarding: true, UserRC: true}
}

// named is the capability that an option grants, nil if there is none.
func (c *Capabilities) named(option string) *bool {
	switch option {
	case "pty":
		return &c.PTY
	case "agent-forwarding":
		return &c.AgentForwarding
	case "port-forwarding":
		return &c.PortForwarding
	case "x11-forwarding":
		return &c.X11Forwarding
	case "user-rc":
		return &c.UserRC
	}
	return nil
}

// parseOptions reads what is in front of a key, to its end. Like sshd it takes
// commas that separate nothing.
func parseOptions(s string) (Options, error) {
	o := Options{Capabilities: everything(), TouchRequired: true}
	for s != "" {
		end := strings.IndexAny(s, ",=")
		if end < 0 {
			end = len(s)
		}
		name := strings.ToLower(s[:end])
		s = s[end:]
		if err := o.set(name, &s); err != nil {
			return o, err
		}
		if s != "" && s[0] != ',' {
			return o, fmt.Errorf("%s: text behind the quotes", name)
		}
		s = strings.TrimPrefix(s, ",")
	}
	if o.Principals != nil && !o.CertAuthority {
		return o, errors.New("principals: not without cert-authority")
	}
	return o, nil
}

// set reads the value of an option, if one follows in rest.
func (o *Options) set(name string, rest *string) error {
	quoted, hasValue := strings.CutPrefix(*rest, "=")
	switch {
	case !hasValue && (name == "" || o.setFlag(name)):
		return nil
	case !hasValue:
		return fmt.Errorf("unknown option %.40q", name)
	case !takesValue(name):
		return fmt.Errorf("unknown option %.40q", name+"=")
	}
	value, after, err := unquote(quoted)
	if err == nil {
		*rest = after
		err = o.setValue(name, value)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// setFlag reports whether there is such an option. A later one prevails over an
// earlier, as in sshd.
func (o *Options) setFlag(name string) bool {
	switch name {
	case "restrict":
		o.Restrict = true
		o.Capabilities = Capabilities{}
	case "cert-authority":
		o.CertAuthority = true
	case "verify-required", "no-verify-required":
		o.VerifyRequired = name == "verify-required"
	case "touch-required", "no-touch-required":
	default:
		base, off := strings.CutPrefix(name, "no-")
		c := o.named(base)
		if c == nil {
			return false
		}
		*c = !off
	}
	return true
}

func takesValue(name string) bool {
	switch name {
	case "command", "principals", "from", "expiry-time", "environment", "permitopen", "permitlisten", "tunnel":
		return true
	}
	return false
}

func (o *Options) setValue(name, value string) (err error) {
	given := false
	switch name {
	case "command":
		given, o.Command = o.Command != nil, &value
	case "principals":
		given = o.Principals != nil
		o.Principals, err = parsePrincipals(value)
	case "from":
		given = o.From != nil
		o.From, err = parseFrom(value)
	case "expiry-time":
		given = !o.Expiry.IsZero()
		o.Expiry, err = parseExpiry(value, time.Local)
	case "tunnel":
		given, o.Tunnel = o.Tunnel != "", value
		err = checkTunnel(value)
	case "environment":
		err = o.addEnvironment(value)
	case "permitopen":
		o.PermitOpen = append(o.PermitOpen, value)
		err = checkForward(value)
	case "permitlisten":
		if !strings.Contains(value, ":") {
			value = "*:" + value
		}
		o.PermitListen = append(o.PermitListen, value)
		err = checkForward(value)
	}
	if given {
		return errTwice
	}
	return err
}

// unquote reads a value in quotes, in which \" is the only escape.
func unquote(s string) (value, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		return "", "", errors.New("its value is not in quotes")
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], nil
		case strings.HasPrefix(s[i:], `\"`):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", "", errors.New("a quote is not closed")
}

func parsePrincipals(value string) ([]string, error) {
	names := strings.Split(value, ",")
	for _, name := range names {
		if name == "" {
			return nil, errors.New("an empty name")
		}
	}
	if len(names) > maxPrincipals {
		return nil, fmt.Errorf("%d names exceed %d", len(names), maxPrincipals)
	}
	return names, nil
}

// addEnvironment lets the first of a name prevail.
func (o *Options) addEnvironment(value string) error {
	name, _, ok := strings.Cut(value, "=")
	if !ok || !isName(name) {
		return errors.New("not NAME=value")
	}
	for _, e := range o.Environment {
		if strings.HasPrefix(e, name+"=") {
			return nil
		}
	}
	o.Environment = append(o.Environment, value)
	return nil
}

func isName(s string) bool {
	for i, c := range []byte(s) {
		switch {
		case c == '_', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9' && i > 0:
		default:
			return false
		}
	}
	return s != ""
}

// checkForward wants host:port, with brackets around an IPv6 address.
func checkForward(value string) error {
	host, port, ok := strings.Cut(value, ":")
	if strings.HasPrefix(value, "[") {
		host, port, ok = strings.Cut(value[1:], "]:")
	}
	switch {
	case !ok || host == "" || len(host) > 255 || strings.ContainsAny(host, "[]/"):
		return errors.New("not host:port")
	case port != "*":
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("bad port %.40q", port)
		}
	}
	return nil
}

func checkTunnel(value string) error {
	const last = 1<<31 - 3 // the next two are "none" and "any" to sshd
	if n, err := strconv.ParseUint(value, 10, 31); strings.ToLower(value) != "any" && (err != nil || n > last) {
		return fmt.Errorf("bad device %.40q", value)
	}
	return nil
}

// parseExpiry reads YYYYMMDD[HHMM[SS]][Z]; without the Z it is in the zone. Like
// sshd it takes nothing before 1970, unlike it no 30th of February. Where sshd
// takes summer time for standard time, and is an hour late, this is right.
func parseExpiry(value string, zone *time.Location) (time.Time, error) {
	digits, utc := strings.CutSuffix(value, "Z")
	if utc {
		zone = time.UTC
	}
	const layout = "20060102150405"
	bad := fmt.Errorf("not YYYYMMDD[HHMM[SS]][Z]: %.40q", value)
	if n := len(digits); n != 8 && n != 12 && n != 14 || strings.Trim(digits, "0123456789") != "" {
		return time.Time{}, bad
	}
	t, err := time.ParseInLocation(layout[:len(digits)], digits, zone)
	if err != nil || t.Unix() <= 0 {
		return time.Time{}, bad
	}
	return t, nil
}
