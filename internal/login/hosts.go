package login

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/auth/knownhosts"
	"github.com/rexec/rex/internal/auth/revoked"
	"github.com/rexec/rex/internal/transport"
)

// hosts decides on the server of one Dial.
type hosts struct {
	*Config
	set      *knownhosts.Set
	revoked  *revoked.List
	accepted *auth.Key // by the user, a moment ago
}

// loadHosts reads the files. One that cannot be read could have said no.
func loadHosts(c *Config) (*hosts, error) {
	set, err := knownhosts.Load(slices.Concat(c.UserKnownHostsFiles, c.GlobalKnownHostsFiles))
	if err != nil {
		return nil, err
	}
	h := &hosts{Config: c, set: set}
	if c.Log.Enabled(context.Background(), slog.LevelWarn) { // every key is decoded for it
		for _, line := range set.Skipped() {
			c.Log.Warn("this line of known hosts is skipped", "file", line.File, "line", line.Line, "why", line.Reason)
		}
	}
	if c.RevokedHostKeys != "" {
		if h.revoked, err = revoked.Load(c.RevokedHostKeys); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// types are all types of host keys, those first that are known for the host.
func (h *hosts) types() []string {
	types := h.set.Types(h.Host, h.Port, h.Alias)
	for _, t := range transport.HostKeyTypes() {
		if !slices.Contains(types, t) {
			types = append(types, t)
		}
	}
	return types
}

// name is the host as known_hosts files have it.
func (h *hosts) name() string {
	switch {
	case h.Alias != "":
		return h.Alias
	case h.Port == 22:
		return h.Host
	}
	return fmt.Sprintf("[%s]:%d", h.Host, h.Port)
}

// verify is transport.TCPOptions.VerifyHost.
func (h *hosts) verify(ctx context.Context, proof *transport.HostProof) error {
	for _, key := range []*auth.Key{proof.Key, proof.Cert} {
		if key == nil {
			continue
		}
		if err := h.revoked.Check(key); err != nil {
			return fmt.Errorf("the host %s: %w", h.name(), err)
		}
	}
	result := h.set.Check(knownhosts.Query{
		Host: h.Host, Port: h.Port, Alias: h.Alias, Key: proof.Key, Cert: proof.Cert, Now: time.Now(),
	})
	h.Log.Debug("host key", "host", h.name(), "key", proof.Key.Fingerprint(), "verdict", result.Verdict.String(),
		"file", result.File, "line", result.Line)
	refuse := &HostError{Name: h.name(), Key: proof.Key, Result: result}
	if len(h.UserKnownHostsFiles) > 0 {
		refuse.File = h.UserKnownHostsFiles[0]
	}
	switch result.Verdict {
	case knownhosts.Trusted, knownhosts.TrustedByCA:
		return nil
	case knownhosts.Unknown, knownhosts.Differs:
		if refuse.Err = h.admit(ctx, refuse); refuse.Err == nil {
			return nil
		}
	case knownhosts.Changed, knownhosts.Revoked:
	}
	return refuse
}

// admit decides on a host that is not known. A nil error lets it in.
func (h *hosts) admit(ctx context.Context, e *HostError) error {
	if h.accepted != nil && h.accepted.Equal(e.Key) {
		return nil
	}
	switch {
	case h.StrictHostKeyChecking == StrictNo:
	case h.StrictHostKeyChecking == StrictAcceptNew && e.Result.Verdict == knownhosts.Unknown:
	case h.StrictHostKeyChecking == StrictAcceptNew:
		return ErrOtherKey
	case h.StrictHostKeyChecking != StrictAsk:
		return ErrStrict
	case h.Asker == nil:
		return ErrNobodyToAsk
	default:
		if err := h.ask(ctx, e); err != nil {
			return err
		}
	}
	h.accepted = e.Key
	h.add(e)
	return nil
}

// add remembers a host. That it cannot be is no reason to turn back: it was
// accepted, and will be asked about again.
func (h *hosts) add(e *HostError) {
	if e.File == "" {
		return
	}
	host, port := h.Host, h.Port
	if h.Alias != "" {
		host, port = strings.ToLower(h.Alias), 22
	}
	if err := knownhosts.Add(e.File, host, port, e.Key, h.HashKnownHosts); err != nil {
		h.Warn("the host's key is not remembered: " + err.Error())
		return
	}
	h.Warn(fmt.Sprintf("the key of %s was added to %s: %s %s", e.Name, e.File, e.Key.Type(), e.Key.Fingerprint()))
}

// maxAsked bounds how often a question is put that gets no clear answer.
const maxAsked = 10

// ask has the user decide. The key's fingerprint is a yes that was looked up.
func (h *hosts) ask(ctx context.Context, e *HostError) error {
	question := fmt.Sprintf("the host %s is not known\nits key is %s %s\n", e.Name, e.Key.Type(), e.Key.Fingerprint())
	if e.Result.Verdict == knownhosts.Differs {
		question += fmt.Sprintf("this is not the key of its sshd, which is %s\n", expected(e.Result))
	}
	if e.Result.CertProblem != nil {
		question += e.Result.CertProblem.Error() + "\n"
	}
	question += "connect and remember the key (yes/no/[fingerprint])? "
	for range maxAsked {
		answer, err := h.Asker.Answer(ctx, question)
		if ctx.Err() != nil {
			err = context.Cause(ctx) // an answer came too late
		}
		if errors.Is(err, io.EOF) {
			return ErrDeclined
		}
		if err != nil {
			return err
		}
		switch answer = strings.TrimSpace(answer); {
		case strings.EqualFold(answer, "yes"), answer == e.Key.Fingerprint():
			return nil
		case strings.EqualFold(answer, "no"):
			return ErrDeclined
		}
		question = "type yes, no or the fingerprint: "
	}
	return ErrDeclined
}
