//go:build unix

package execd

import (
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rexec/rex/internal/process"
	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

// A Login is what a transport proved about a client and granted to it, for
// [session.Peer.Login]. Commands of such a session run as that account. It is
// not changed once it was handed over, and every field counts as it is: the
// zero value grants nothing.
type Login struct {
	// User is the account's name; UID, GID and Groups (all of them, as
	// getgrouplist(3) gives them) are what its commands run with. Home and Shell
	// are those of passwd(5). None of User, Home and Shell is empty.
	User        string
	UID, GID    int
	Groups      []int
	Home, Shell string
	// Command is a forced command: the shell runs it whatever the client asks
	// for, which it finds in SSH_ORIGINAL_COMMAND. Nil: none.
	Command *string
	// Service is the service that the login runs whatever the client asks for,
	// which it finds in SSH_ORIGINAL_COMMAND. It comes before Command. Empty: none.
	Service string
	// PTY allows terminals.
	PTY bool
	// Exact allows to run programs without the login shell. It must be false for
	// a shell that restricts what its user may run; see shells(5).
	Exact bool
	// Environment are variables, "NAME=value", that the account's own
	// authorized_keys gives; what a login sets itself wins over them.
	Environment []string
	// Local and Remote are the ends of the connection, for SSH_CONNECTION and the
	// like. Not valid where there are none, as with a Unix socket.
	Local, Remote netip.AddrPort
}

// loginOf returns whose commands the session runs: those of the Login that the
// transport granted or, where there is no word of one, of this process's user.
// Anything else is refused, because this user may be root.
func (h *Handler) loginOf(granted any) (*Login, error) {
	switch l := granted.(type) {
	case nil:
		if h.own == nil {
			return nil, &session.Refusal{Code: proto.CodeUnknownUser, Message: h.noUser.Error()}
		}
		return h.own, nil
	case *Login:
		if l != nil && l.User != "" && l.Home != "" && l.Shell != "" && isID(l.UID) && isID(l.GID) && !slices.ContainsFunc(l.Groups, isNoID) {
			return l, nil
		}
	}
	return nil, &session.Refusal{Code: proto.CodePermissionDenied, Message: "the login is incomplete"}
}

// isID tells whether a process can have this user or group id.
func isID(id int) bool   { return id >= 0 && int64(id) < math.MaxUint32 }
func isNoID(id int) bool { return !isID(id) }

// credential returns the change of user that the login takes, nil if none.
func (h *Handler) credential(l *Login) (*process.Credential, error) {
	euid := os.Geteuid()
	switch {
	case l == h.own, euid != 0 && euid == l.UID:
		return nil, nil
	case euid != 0:
		return nil, &session.Refusal{
			Code:    proto.CodePermissionDenied,
			Message: fmt.Sprintf("this server is not root's and cannot run commands as %q", l.User),
		}
	case isThisProcess(l):
		return nil, nil // a container's root may not be able to set groups
	}
	cred := &process.Credential{UID: uint32(l.UID), GID: uint32(l.GID)}
	for _, gid := range l.Groups {
		cred.Groups = append(cred.Groups, uint32(gid))
	}
	return cred, nil
}

// isThisProcess tells whether the process has exactly the login's ids already.
func isThisProcess(l *Login) bool {
	groups, err := os.Getgroups()
	return err == nil && os.Geteuid() == l.UID && os.Getegid() == l.GID && slices.Equal(sorted(groups), sorted(l.Groups))
}

func sorted(list []int) []int { return slices.Compact(slices.Sorted(slices.Values(list))) }

var errNoTerminal = &session.Refusal{Code: proto.CodePermissionDenied, Message: "this login may not have a terminal: ask for none (-T)"}

// allow refuses what the login does not grant.
//
// sshd grants a session without the terminal that it refuses, and ssh says so
// and goes on. Here the terminal is part of the request: the client has put its
// own one into raw mode and expects one stream of output, so that going on
// would show staircases. It is told what to ask for instead.
func (l *Login) allow(req *session.Request) error {
	switch {
	case req.Term != nil && !l.PTY:
		return errNoTerminal
	case l.Command != nil: // whatever was asked for
	case req.Argv != nil && !l.Exact:
		return &session.Refusal{
			Code:    proto.CodePermissionDenied,
			Message: fmt.Sprintf("the login shell %q may restrict what runs, so nothing runs without it: use the plain form, rex host command", l.Shell),
		}
	}
	return nil
}

// program sets what to execute: the exact vector, or the login shell.
func (l *Login) program(spec *process.Spec, req *session.Request) (byShell bool) {
	shell := func(line string) {
		spec.Path, spec.Args = l.Shell, []string{filepath.Base(l.Shell), "-c", line}
	}
	switch {
	case l.Command != nil:
		shell(*l.Command)
	case req.Argv != nil:
		spec.Args, spec.Path = req.Argv, req.Argv[0]
		if req.Path != "" {
			spec.Path = req.Path
		}
		return false
	case req.IsLine:
		shell(req.Line)
	default:
		spec.Path, spec.Args = l.Shell, []string{"-" + filepath.Base(l.Shell)}
	}
	return true
}

// dir is the working directory: the home directory, or one relative to it. A
// home that cannot be entered does not keep anybody out. A forced command finds
// itself where its author expects it.
func (l *Login) dir(asked string) (dir string, optional bool) {
	switch {
	case asked == "" || l.Command != nil:
		return l.Home, true
	case filepath.IsAbs(asked):
		return asked, false
	}
	return filepath.Join(l.Home, asked), false
}

// original is what the client asked for, as a line for the shell; ok is false
// for the login shell, which has none.
func original(req *session.Request) (line string, ok bool) {
	switch {
	case req.Argv != nil:
		words := slices.Clone(req.Argv)
		if req.Path != "" {
			words[0] = req.Path // what would have run, whatever it is called
		}
		for i, w := range words {
			words[i] = quote(w)
		}
		return strings.Join(words, " "), true
	case req.Subsystem != "":
		return req.Subsystem, true
	}
	return req.Line, req.IsLine
}

// reserved are words that mean something to a shell where a command stands.
var reserved = []string{
	"case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if", "in", "select", "then", "time", "until", "while",
}

// quote writes a word so that any POSIX shell reads it as that one word.
func quote(word string) string {
	plain := word != "" && !slices.Contains(reserved, word)
	for _, c := range []byte(word) {
		plain = plain && (isAlphanumeric(c) || strings.IndexByte("_@%+:,./-", c) >= 0)
	}
	if plain {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

func isAlphanumeric(c byte) bool {
	return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
}
