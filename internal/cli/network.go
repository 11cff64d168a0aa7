package cli

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/rexec/rex/internal/login"
	"github.com/rexec/rex/internal/term"
	"github.com/rexec/rex/session"
)

// connectNetwork connects over TCP and logs in.
func (r *runner) connectNetwork(ctx context.Context) *failure {
	cfg, err := r.loginConfig()
	if err != nil {
		return usage("%v", err)
	}
	asker := r.newAsker()
	defer asker.close()
	if asker.canAsk() {
		cfg.Asker = asker
	}
	conn, err := login.Dial(ctx, cfg)
	if err != nil {
		return r.explainLogin(err)
	}
	r.link = link{conn: conn.Link, login: conn}
	return nil
}

// loginConfig is what the command line says about the login, in whole paths.
func (r *runner) loginConfig() (*login.Config, error) {
	v := r.inv
	cfg := &login.Config{
		Host: v.tokenHost(), Port: v.portNumber(), Alias: v.hostAlias.value,
		IdentitiesOnly: v.identitiesOnly.value, IdentityAgent: v.identityAgent.value, AuthSock: r.env.Getenv("SSH_AUTH_SOCK"),
		StrictHostKeyChecking: v.strict.value, HashKnownHosts: v.hashHosts.value, PassphraseTries: v.passwordPrompts.value,
		EarlyData: true, StdinSafe: r.stdinSafe(),
		Network: v.network.value, Dial: r.env.Dial,
		Trace: r.trace,
		Warn:  func(text string) { r.ui.warnf("%s", text) }, Log: r.ui.logger(),
	}
	var errs [9]error
	cfg.User, errs[0] = r.remoteUser()
	cfg.Home, errs[1] = r.home()
	cfg.IdentityFiles, errs[2] = r.expandFiles(v.identityFiles)
	cfg.CertificateFiles, errs[3] = r.expandFiles(v.certificateFiles)
	cfg.UserKnownHostsFiles, errs[4] = r.expandFiles(v.userHosts.value)
	cfg.GlobalKnownHostsFiles, errs[5] = r.expandFiles(v.globalHosts.value)
	if v.revokedHosts.set && v.revokedHosts.value != "none" {
		cfg.RevokedHostKeys, errs[6] = r.expandFile(v.revokedHosts.value)
	}
	cfg.IdentityAgent, errs[7] = r.expandAgent(cfg.IdentityAgent)
	if v.bindAddress.set {
		cfg.LocalAddr, errs[8] = netip.ParseAddr(v.bindAddress.value)
	}
	cfg.CacheDir = filepath.Join(cfg.Home, ".cache", "rex")
	return cfg, errors.Join(errs[:]...)
}

// trace tells about a step of the login.
func (r *runner) trace(step string, took time.Duration) {
	if step == "connect" {
		r.reached.Store(true)
	}
	if text := map[string]string{
		"connect": "connected in", "tls": "encrypted in", "host": "host key checked in", "sign": "signed in",
		"login": "login sent in", "verdict": "login accepted after",
	}[step]; text != "" {
		step = text
	}
	r.ui.debugf("%s %.1f ms", step, milliseconds(took))
}

// expandAgent is the agent's socket: a path, or $NAME for what a variable says.
func (r *runner) expandAgent(name string) (string, error) {
	switch {
	case name == "none", name == "", name == "SSH_AUTH_SOCK":
		return name, nil
	case name[0] == '$':
		if socket := r.env.Getenv(name[1:]); socket != "" {
			return socket, nil
		}
		return "none", nil
	}
	return r.expandFile(name)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// stdinSafe reports whether nothing of stdin is consumed before the command has
// started, so that a login may be made again: there is nothing, or what is
// typed is read only then.
func (r *runner) stdinSafe() bool {
	return r.inv.stdinNull.value || term.IsTerminal(r.env.Stdin) || isNull(r.env.Stdin)
}

// isNull reports whether f is the null device.
func isNull(f *os.File) bool {
	null, err := os.Stat(os.DevNull)
	if err != nil {
		return false
	}
	info, err := f.Stat()
	return err == nil && os.SameFile(null, info)
}

// window is how much output may be under way.
func (l *link) window() int {
	if l.login == nil {
		return 0
	}
	return session.WindowFor(l.login.RTT)
}

// loginAccepted has the key remembered that the command was started with.
func (r *runner) loginAccepted() {
	if r.link.login != nil {
		r.link.login.Accepted()
	}
}

// loginAgain reports whether the start is to be repeated because of err: the
// server has refused a key that was only remembered, and nothing of stdin was
// read.
func (r *runner) loginAgain(err error) bool {
	if r.link.login == nil || !r.stdinSafe() || !r.link.login.Again(err) {
		return false
	}
	if client := r.client.Swap(nil); client != nil {
		_ = client.Close()
	}
	return true
}

// typedLate reports whether stdin is a terminal that the command reads as it
// is. Over the network it is not read before the command has started.
func (r *runner) typedLate() bool {
	return r.link.login != nil && !r.inv.stdinNull.value && !r.typed() && term.IsTerminal(r.env.Stdin)
}

// patientReader waits for input before it reads, so that rex in the background
// is stopped by the terminal only when there is something to read.
type patientReader struct{ *os.File }

func (p patientReader) Read(b []byte) (int, error) {
	if err := term.WaitReadable(p.File); err != nil {
		return 0, err
	}
	return p.File.Read(b)
}

// attachTerminal has the command read this terminal line by line, as it is. Its
// goroutine ends with the command's input, or the program.
func (r *runner) attachTerminal(stdin io.WriteCloser) {
	k := &keyboard{
		in: patientReader{r.env.Stdin}, wait: func() error { return term.WaitReadable(r.env.Stdin) }, out: stdin,
		disconnect: func(reason string) { r.leave(fail(howLost, "%s", reason), nil) },
	}
	go r.guard(k.run)
}
