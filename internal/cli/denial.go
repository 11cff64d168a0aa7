package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
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
		r.explainHost, r.explainKeys, r.explainPeer, r.explainNetwork, r.explainFile,
	} {
		if explain(f, err) {
			return f
		}
	}
	return f.withHint("%s", r.again("-v"))
}

// explainFile explains that a file that is needed cannot be read.
func (r *runner) explainFile(f *failure, err error) bool {
	file, ok := errors.AsType[*fs.PathError](err)
	if ok {
		f.withHint("ls -ld %s", shellQuote(file.Path))
	}
	return ok
}

// explainHost explains a server that is not the one that was meant.
func (r *runner) explainHost(f *failure, err error) bool {
	host, ok := errors.AsType[*login.HostError](err)
	if !ok {
		return false
	}
	f.msg = plain(err)
	const compare = "compare it with the fingerprint that rexd logs at start (rexd --check prints it too); then"
	switch {
	case host.Unknown():
		f.withHint(compare+": %s", r.again("-o", "StrictHostKeyChecking=accept-new"))
	case host.Differs():
		ask := []string{"-o", "StrictHostKeyChecking=ask"}
		if r.inv.batchMode.value {
			ask = append(ask, "-o", "BatchMode=no")
		}
		f.withHint(compare+", on a terminal: %s", r.again(ask...))
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
		f.msg = r.account() + ": " + plain(err)
		f.withHint("%s, or name the key: %s", r.copyID(), r.again("-i", "FILE"))
		if len(denied.Keys) >= proto.MaxKeys {
			f.withHint("these are too many; name the key: %s", r.again("-o", "IdentitiesOnly=yes", "-i", "FILE"))
			return true
		}
	} else if none, ok := errors.AsType[*login.NoKeysError](err); ok {
		skipped = none.Skipped
		f.msg = plain(err)
		f.withHint("ssh-keygen -t ed25519 && ssh-copy-id %s", shellQuote(r.account()))
	} else if _, ok := errors.AsType[*transport.SignError](err); ok {
		f.msg = plain(err)
		f.withHint("ssh-add -l, or another key: %s", r.again("-i", "FILE"))
		skipped = []error{err}
	} else {
		return false
	}
	for _, why := range skipped {
		if hint := r.keyHint(why); hint != "" {
			f.hint = hint
			break
		}
	}
	return true
}

// keyHint is what makes a key usable, empty if nothing is known.
func (r *runner) keyHint(err error) string {
	if errors.Is(err, auth.ErrAgentRefused) {
		return "the agent did not sign; it may ask for consent, or the key be for certain hosts only: ssh-add -l"
	}
	if agent, ok := errors.AsType[*auth.AgentError](err); ok {
		if agent.Socket == r.env.Getenv("SSH_AUTH_SOCK") {
			return "ssh-add -l"
		}
		return "SSH_AUTH_SOCK=" + shellQuote(agent.Socket) + " ssh-add -l"
	}
	file, ok := errors.AsType[*auth.KeyFileError](err)
	if !ok {
		return ""
	}
	path := shellQuote(file.Path)
	switch {
	case errors.Is(err, login.ErrPublicHalf):
		return "name the private key, or load it: ssh-add " + shellQuote(strings.TrimSuffix(file.Path, ".pub"))
	case errors.Is(err, auth.ErrExposed):
		return "chmod 600 " + path
	case errors.Is(err, auth.ErrPassphrase) && r.inv.batchMode.value:
		return "with BatchMode nobody is asked: ssh-add " + path
	case errors.Is(err, auth.ErrPassphrase):
		return "ssh-add " + path
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return "ls -ld " + path
	}
	return "ssh-keygen -y -f " + path
}

// copyID has the host's sshd take the key.
func (r *runner) copyID() string {
	words := []string{"ssh-copy-id"}
	if files := r.inv.identityFiles; len(files) == 1 && files[0] != "none" {
		if file, err := r.expandFile(files[0]); err == nil {
			words = append(words, "-i", shellQuote(file))
		}
	}
	return strings.Join(append(words, shellQuote(r.account())), " ")
}

// explainPeer explains what the other end said that is no verdict on a key.
func (r *runner) explainPeer(f *failure, err error) bool {
	if foreign, ok := errors.AsType[*transport.ForeignPeerError](err); ok {
		if foreign.Protocol == "ssh" {
			f.msg = "that port speaks ssh; rexd listens on 7390"
			f.withHint("%s", r.again("-p", strconv.Itoa(defaultPort)))
			return true
		}
		f.withHint("rexd listens elsewhere there: %s", r.again("-p", "PORT"))
		return true
	}
	if refused, ok := errors.AsType[*transport.RefusedError](err); ok {
		f.msg = fmt.Sprintf("%s: %v", r.inv.target.text, refused)
		switch refused.Code {
		case proto.AuthBusy:
			f.withHint("try again in a moment: %s", r.again())
		case proto.AuthBadVersion:
			f.withHint("rex and rexd are too different: rex version, and rexd --version at the host")
		default:
			f.withHint("rexd's log at the host says more: %s", r.again("-v"))
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
	if addr, ok := errors.AsType[*net.AddrError](err); ok && r.inv.network.value != "" {
		has, other := "IPv6", "-4"
		if r.inv.network.value == "tcp4" {
			has, other = "IPv4", "-6"
		}
		f.msg = fmt.Sprintf("%s has no %s address", addr.Addr, has)
		f.withHint("%s", r.again(other))
		return true
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		f.msg = fmt.Sprintf("cannot find the address of %s: %s", r.inv.tokenHost(), dns.Err)
		f.withHint("getent hosts %s", name)
		return true
	}
	switch {
	case errors.Is(err, errConnectTimeout):
		*f = *r.explainTimeout()
	case r.reached.Load() && errors.Is(err, context.DeadlineExceeded):
		f.msg = fmt.Sprintf("what listens on port %d of %s accepts connections and says nothing", r.inv.portNumber(), r.inv.tokenHost())
		f.withHint("look at the host for who listens there: ss -ltnp 'sport = :%d'", r.inv.portNumber())
	case errors.Is(err, syscall.ECONNREFUSED):
		f.msg = fmt.Sprintf("nobody listens on port %d of %s", r.inv.portNumber(), r.inv.tokenHost())
		f.withHint("is rexd running there? rexd --listen :%d", r.inv.portNumber())
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		f.withHint("ping %s", name)
	case errors.Is(err, syscall.EADDRNOTAVAIL) && r.inv.bindAddress.set:
		f.msg = fmt.Sprintf("cannot connect from %s, which is no address of this machine", r.inv.bindAddress.value)
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
	name, err := r.remoteUser()
	if err != nil {
		return r.inv.tokenHost()
	}
	return name + "@" + r.inv.tokenHost()
}
