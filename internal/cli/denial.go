package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/login"
	"github.com/rexec/rex/internal/transport"
	"github.com/rexec/rex/proto"
)

// explainLogin says why there is no connection over the network, and what to
// do. How it begins is the error's; the host is named once.
func (r *runner) explainLogin(err error) *failure {
	f := fail(howLogin, "%s: %s", r.inv.target.text, plain(err))
	for _, explain := range []func(*failure, error) bool{
		r.explainHost, r.explainKeys, r.explainPeer, r.explainNetwork,
	} {
		if explain(f, err) {
			return f
		}
	}
	return f.withHint("rex -v %s", r.again())
}

// explainHost explains a server that is not the one that was meant.
func (r *runner) explainHost(f *failure, err error) bool {
	host, ok := errors.AsType[*login.HostError](err)
	if !ok {
		return false
	}
	f.msg = plain(err)
	switch {
	case host.Unknown():
		f.withHint("compare the key with ssh-keygen -l at the host, then: rex -o StrictHostKeyChecking=accept-new %s", r.again())
	case host.Differs():
		f.withHint("compare the key with ssh-keygen -l at the host, then, on a terminal: rex -o StrictHostKeyChecking=ask %s", r.again())
	case host.Revoked():
		f.withHint("who revoked it has a reason; look at line %d: less %s", host.Result.Line, shellQuote(host.Result.File))
	default:
		f.withHint("if that is right: ssh-keygen -R %s -f %s", shellQuote(host.Name), shellQuote(host.Result.File))
	}
	return true
}

// explainKeys explains that no key let the user in, or that there is none.
func (r *runner) explainKeys(f *failure, err error) bool {
	var skipped []error
	if denied, ok := errors.AsType[*login.DeniedError](err); ok {
		skipped = denied.Skipped
		f.withHint("ssh-copy-id %s, or name the key: rex -i FILE %s", r.account(), r.again())
		if len(denied.Keys) >= proto.MaxKeys {
			f.withHint("these are too many; name the key: rex -o IdentitiesOnly=yes -i FILE %s", r.again())
			return true
		}
	} else if none, ok := errors.AsType[*login.NoKeysError](err); ok {
		skipped = none.Skipped
		f.msg = plain(err)
		f.withHint("ssh-keygen -t ed25519 && ssh-copy-id %s", r.account())
	} else if _, ok := errors.AsType[*transport.SignError](err); ok {
		f.msg = plain(err)
		f.withHint("ssh-add -l, or another key: rex -i FILE %s", r.again())
		skipped = []error{err}
	} else {
		return false
	}
	for _, why := range skipped {
		if hint := keyHint(why); hint != "" {
			f.hint = hint
			break
		}
	}
	return true
}

// keyHint is what makes a key usable, empty if nothing is known.
func keyHint(err error) string {
	file, ok := errors.AsType[*auth.KeyFileError](err)
	switch {
	case errors.Is(err, auth.ErrAgentRefused):
		return "the agent did not sign; it may ask for consent, or the key be for certain hosts only: ssh-add -l"
	case !ok:
		return ""
	case errors.Is(err, auth.ErrExposed):
		return "chmod 600 " + shellQuote(file.Path)
	case errors.Is(err, auth.ErrPassphrase):
		return "ssh-add " + shellQuote(file.Path)
	case errors.Is(err, fs.ErrPermission):
		return "ls -l " + shellQuote(file.Path)
	}
	return ""
}

// explainPeer explains what the other end said that is no verdict on a key.
func (r *runner) explainPeer(f *failure, err error) bool {
	if foreign, ok := errors.AsType[*transport.ForeignPeerError](err); ok {
		if foreign.Protocol == "ssh" {
			f.msg = "that port speaks ssh; rexd listens on 7390"
			f.withHint("rex -p %d %s", defaultPort, r.againWithoutPort())
			return true
		}
		f.withHint("rexd listens elsewhere there: rex -p PORT %s", r.againWithoutPort())
		return true
	}
	if refused, ok := errors.AsType[*transport.RefusedError](err); ok {
		f.msg = fmt.Sprintf("%s: %v", r.inv.target.text, refused)
		switch refused.Code {
		case proto.AuthBusy:
			f.withHint("try again in a moment: rex %s", r.again())
		case proto.AuthBadVersion:
			f.withHint("rex and rexd are too different: rex version, and rexd --version at the host")
		default:
			f.withHint("rexd's log at the host says more: rex -v %s", r.again())
		}
		return true
	}
	if _, ok := errors.AsType[*transport.HandshakeError](err); ok {
		f.withHint("is it rexd that listens on port %d there? rexd --listen :%d", r.inv.portNumber(), r.inv.portNumber())
		return true
	}
	return false
}

// explainNetwork explains that nobody was reached.
func (r *runner) explainNetwork(f *failure, err error) bool {
	name := shellQuote(r.inv.tokenHost())
	timeout, _ := errors.AsType[net.Error](err)
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		f.msg = fmt.Sprintf("cannot find the address of %s: %s", r.inv.tokenHost(), dns.Err)
		f.withHint("getent hosts %s", name)
		return true
	}
	switch {
	case errors.Is(err, errConnectTimeout):
		*f = *r.explainTimeout()
	case errors.Is(err, syscall.ECONNREFUSED):
		f.msg = fmt.Sprintf("nobody listens on port %d of %s", r.inv.portNumber(), r.inv.tokenHost())
		f.withHint("is rexd running there? rexd --listen :%d", r.inv.portNumber())
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		f.withHint("ping %s", name)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		f.withHint("-b takes an address of this machine: ip address")
	case errors.Is(err, syscall.ETIMEDOUT), timeout != nil && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		f.withHint("does a firewall let port %d through? nc -vz %s %d", r.inv.portNumber(), name, r.inv.portNumber())
	default:
		return false
	}
	return true
}

// explainLate says why the server refused after rex had gone on, as if it had
// waited. It is nil for any other error.
func (r *runner) explainLate(err error) *failure {
	if r.link.login == nil {
		return nil
	}
	if denied := r.link.login.Refused(err); denied != nil {
		return r.explainLogin(denied)
	}
	if refused, ok := errors.AsType[*transport.RefusedError](err); ok {
		return r.explainLogin(refused)
	}
	return nil
}

// account is user@host as ssh-copy-id takes it: through the host's sshd.
func (r *runner) account() string {
	host := r.inv.tokenHost()
	if r.inv.user.set {
		host = r.inv.user.value + "@" + host
	}
	return shellQuote(host)
}

// againWithoutPort is again with a host that does not name a port.
func (r *runner) againWithoutPort() string {
	_, command, _ := strings.Cut(r.again(), " ")
	return strings.TrimSpace(r.account() + " " + command)
}
