package cli

import (
	"time"

	"github.com/rexec/rex/internal/login"
	"github.com/rexec/rex/session"
)

// once is a setting of which the first value counts, as with ssh.
type once[T any] struct {
	value T
	set   bool
}

func (o *once[T]) put(v T) {
	if !o.set {
		o.value, o.set = v, true
	}
}

// ttyRequest is what -t, -T and RequestTTY ask for.
type ttyRequest int

const (
	ttyAuto  ttyRequest = iota // a pty if there is no command and stdin is a terminal
	ttyNo                      // none
	ttyYes                     // a pty if stdin is a terminal
	ttyForce                   // a pty
)

// sessionType is what -s, -N and SessionType ask for.
type sessionType int

const (
	sessionDefault   sessionType = iota // a command, or the login shell
	sessionNone                         // nothing
	sessionSubsystem                    // the subsystem that the first word names
)

// escapeKey is the key that introduces ~. and the like; 0 is none.
type escapeKey byte

// options is what flags and -o have set. As with ssh the flags -t, -T, -n, -q,
// -v, -e and -E assign, so that the last of them wins and all of them beat -o;
// everything else is first come, first served.
type options struct {
	user           once[string]
	port           once[int]
	hostName       once[string]
	tty            once[ttyRequest]
	stdinNull      once[bool]
	escape         once[escapeKey]
	level          once[int]
	logFile        string
	session        once[sessionType]
	proxyCommand   once[string]
	remoteCommand  once[string]
	connectTimeout once[time.Duration] // 0 is no limit
	batchMode      once[bool]
	sendEnv        []string // patterns, all of them in order
	setEnv         once[[]string]

	trustOptions
	longOptions

	version  bool
	letterV  bool // by -V
	help     bool
	forwards once[*failure] // the first -L, -R, -D
	noFwd    once[bool]     // ClearAllForwardings
	localCmd once[string]
	localOK  once[bool]     // PermitLocalCommand
	refused  once[*failure] // the first thing that this version cannot do
	noLogin  once[*failure] // the first that keeps it from logging in as asked
	decided  []string       // the keys that noLogin was asked about
	warnings []string       // what has no effect in this version
}

// trustOptions are about keys and hosts. Files are as they were written, with ~
// and tokens.
type trustOptions struct {
	identityFiles    []string // all of them, in order
	certificateFiles []string
	identitiesOnly   once[bool]
	identityAgent    once[string]
	passwordPrompts  once[int]
	userHosts        once[[]string]
	globalHosts      once[[]string]
	revokedHosts     once[string]
	hostAlias        once[string]
	hashHosts        once[bool]
	strict           once[login.Strict]
	network          once[string] // tcp, tcp4 or tcp6
	bindAddress      once[string] // to connect from
}

// longOptions is what the options with two dashes have set, the last one
// winning.
type longOptions struct {
	timeout    time.Duration // 0 is none
	drain      time.Duration // as session.Cmd has it: 0 until the end, negative not at all
	orphan     session.Orphan
	dir        string
	env        []string
	statusFile string
	json       bool
}

// escapeChar is the escape key in effect.
func (o *options) escapeChar() escapeKey {
	if o.escape.set {
		return o.escape.value
	}
	return '~'
}

// cannot returns the first thing asked for that this version cannot do. Going
// on without it would mislead.
func (o *options) cannot() *failure {
	switch {
	case o.refused.set:
		return o.refused.value
	case o.forwards.set && !o.noFwd.value:
		return o.forwards.value
	case o.localOK.value && o.localCmd.set:
		return notYet("LocalCommand is", "leave out -o PermitLocalCommand=yes")
	}
	return nil
}
