package cli

import (
	"strconv"
)

// flag takes a letter without a value.
func (v *invocation) flag(letter byte) error {
	switch letter {
	case 't':
		if v.tty.set && v.tty.value == ttyYes {
			v.tty.value = ttyForce
		} else {
			v.tty = once[ttyRequest]{ttyYes, true}
		}
	case 'T':
		v.tty = once[ttyRequest]{ttyNo, true}
	case 'n':
		v.stdinNull = once[bool]{true, true}
	case 'q':
		v.level = once[int]{levelQuiet, true}
	case 'v':
		v.level = once[int]{min(max(v.level.value, levelNormal)+1, levelTrace), true}
	case 'V':
		v.version, v.letterV = true, true
	case 's':
		v.session = once[sessionType]{sessionSubsystem, true}
	case 'N':
		v.session = once[sessionType]{sessionNone, true}
		v.refuseSession()
	case '4':
		v.network = once[string]{"tcp4", true}
	case '6':
		v.network = once[string]{"tcp6", true}
	case '1':
		return usage("option -1 asks for a protocol that rex does not have")
	default:
		v.later(letter)
	}
	return nil
}

// refuseSession refuses the kind of session that this version does not have.
func (v *invocation) refuseSession() {
	if v.session.value == sessionNone {
		v.refused.put(notYet("a session without a command is", "rex HOST command"))
	}
}

// later takes letters of ssh that do nothing in this version. Those of which
// nobody notices are silent.
func (v *invocation) later(letter byte) {
	switch letter {
	case 'f':
		v.refused.put(notYet("-f is", "rex -n HOST command &"))
	case 'G':
		v.refused.put(notYet("-G is", "rex -v HOST command"))
	case 'A':
		v.warnings = append(v.warnings, "agent forwarding is not in this version, -A has no effect")
	case 'M':
		v.warnings = append(v.warnings, "connection sharing is not in this version, -M has no effect")
	}
}

// flagValue takes a letter with its value.
func (v *invocation) flagValue(letter byte, value string) error {
	switch letter {
	case 'l':
		v.user.put(value)
	case 'p':
		port, err := parsePort(value)
		if err != nil {
			return err
		}
		v.port.put(port)
	case 'i':
		v.identityFiles = append(v.identityFiles, value)
	case 'b':
		return v.trustKeyword("bindaddress", value)
	case 'e':
		key, err := parseEscape(value)
		v.escape = once[escapeKey]{key, true}
		return err
	case 'o':
		return v.keyword(value)
	case 'E':
		v.logFile = value
	case 'w':
		return usage("option -w asks for a tunnel device, which rex does not have")
	default:
		return v.laterValue(letter, value)
	}
	return nil
}

// laterValue takes letters with a value that do nothing in this version.
func (v *invocation) laterValue(letter byte, value string) error {
	switch letter {
	case 'I':
		return v.loginKeyword("pkcs11provider", value)
	case 'B':
		return v.loginKeyword("bindinterface", value)
	case 'L', 'R', 'D':
		v.forward("-" + string(letter))
	case 'W':
		v.refused.put(notYet("-W is", "rex HOST 'nc %s'", "host port"))
	case 'J':
		v.jump("-J", value)
	case 'O':
		v.refused.put(notYet("connection sharing and so -O are", "rex HOST command"))
	case 'Q':
		v.refused.put(notYet("-Q is", "rex help"))
	case 'S':
		if value != "none" {
			v.warnings = append(v.warnings, "connection sharing is not in this version, -S has no effect")
		}
	case 'F':
		if value != "none" && value != "/dev/null" {
			v.warnings = append(v.warnings, "configuration files are not read in this version, -F has no effect")
		}
	}
	return nil
}

func (v *invocation) forward(what string) {
	v.forwards.put(notYet(what+" and all forwarding is", "rex HOST command"))
}

// jump takes a jump host. As with ssh it and ProxyCommand are one setting.
func (v *invocation) jump(what, value string) {
	if value == "none" {
		v.proxyCommand.put(value)
		return
	}
	if !v.proxyCommand.set {
		v.refused.put(notYet(what+" is", "rex -o ProxyCommand='ssh -J %s %%h rexd --stdio' HOST command", value))
	}
}

// parseEscape takes a key, ^key, or none, which is 0.
func parseEscape(value string) (escapeKey, error) {
	switch {
	case value == "none":
		return 0, nil
	case len(value) == 1:
		return escapeKey(value[0]), nil
	case len(value) == 2 && value[0] == '^' && value[1] >= '@' && value[1] < 0x7f:
		return escapeKey(value[1] & 0x1f), nil
	}
	return 0, usage("bad escape character %q", value).withHint("rex -e none HOST, or a key such as -e '~'")
}

func parsePort(s string) (int, error) {
	port, err := strconv.ParseUint(s, 10, 16)
	if err != nil || port == 0 {
		return 0, usage("bad port %q", s).withHint("a port is a number from 1 to 65535: rex -p %d HOST", defaultPort)
	}
	return int(port), nil
}
