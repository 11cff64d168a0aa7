package login

import (
	"context"
	"errors"
	"io/fs"
	"syscall"
	"time"

	"github.com/rexec/rex/internal/auth"
)

// agentTime bounds how long an agent may take to list its keys, which needs
// nobody's consent.
const agentTime = 5 * time.Second

// keys collects the keys to log in with.
type keys struct {
	*Config
	ask       auth.Passphrase
	agentTime time.Duration

	agent   *auth.Agent // nil if there is none
	held    []auth.Signer
	files   []keyFile
	certs   []*auth.Key // of files
	skipped []error     // what the user is told of
	quiet   []error     // what is none of his business, unless there is nothing else

	seen   map[string]bool
	result []auth.Signer
}

// A keyFile is one of IdentityFiles.
type keyFile struct {
	public  *auth.Key
	signer  auth.Signer // nil if the private half is of no use here
	problem error       // why
}

// collect returns the signers in the order in which ssh tries them: with
// certificates that were named, with keys of the agent that a file names, with
// the agent's others, with files; a certificate always before its key. The
// agent is open until close.
func (k *keys) collect(ctx context.Context) ([]auth.Signer, error) {
	k.seen = map[string]bool{}
	if err := k.askAgent(ctx); err != nil {
		return nil, err
	}
	named := k.loadCertificates()
	k.loadFiles()
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	for _, cert := range named {
		k.addCertified(cert, k.holders(cert))
	}
	for _, f := range k.files {
		k.addHeld(f.public)
	}
	for _, s := range k.held {
		if !k.IdentitiesOnly {
			k.addHeld(s.Key().Plain())
		}
	}
	for _, f := range k.files {
		k.addFile(f)
	}
	if len(k.result) == 0 {
		return nil, k.nothing()
	}
	k.warn(k.skipped)
	for _, s := range k.result {
		k.Log.Info("key", "from", s.String(), "type", s.Key().Type(), "fingerprint", s.Key().Fingerprint())
	}
	return k.result, nil
}

func (k *keys) close() {
	if k.agent != nil {
		_ = k.agent.Close()
	}
}

// skip notes why a key is not used. The user is told if he named it.
func (k *keys) skip(err error, told bool) {
	k.Log.Info("not used", "err", err.Error())
	if told {
		k.skipped = append(k.skipped, err)
	} else {
		k.quiet = append(k.quiet, err)
	}
}

// nothing is that there is no key, which names the first reason; the user is
// warned of the others.
func (k *keys) nothing() error {
	if len(k.skipped) == 0 {
		return &NoKeysError{Skipped: k.quiet}
	}
	k.warn(k.skipped[1:])
	return &NoKeysError{Skipped: k.skipped}
}

func (k *keys) warn(skipped []error) {
	for _, err := range skipped {
		k.Warn(err.Error())
	}
}

// socket is where the agent listens, empty for none, and whether the user said
// so rather than his session.
func (k *keys) socket() (path string, named bool) {
	switch k.IdentityAgent {
	case "none":
		return "", false
	case "", "SSH_AUTH_SOCK":
		return k.AuthSock, false
	}
	return k.IdentityAgent, true
}

// askAgent lists the agent's keys. One that is not there or does not answer is
// as none; only the end of ctx is an error.
func (k *keys) askAgent(ctx context.Context) error {
	path, named := k.socket()
	if path == "" {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, k.agentTime)
	defer cancel()
	var err error
	if k.agent, err = auth.DialAgent(bounded, path); err != nil {
		// A variable that outlived its agent is nothing to hear about.
		gone := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
		k.skip(err, named || !gone)
		return context.Cause(ctx)
	}
	if k.held, err = k.agent.Signers(bounded); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = &auth.AgentError{Socket: path, Err: errors.New("it does not answer")}
		}
		k.skip(err, true)
	}
	return context.Cause(ctx)
}

// loadCertificates reads CertificateFiles.
func (k *keys) loadCertificates() (named []*auth.Key) {
	for _, path := range k.CertificateFiles {
		cert, err := auth.LoadCertificate(path)
		if err == nil {
			err = auth.CheckAlgorithm(cert)
		}
		if err != nil {
			k.skip(err, true)
			continue
		}
		named = append(named, cert)
	}
	k.certs = append(k.certs, named...)
	return named
}

// loadFiles reads IdentityFiles, or the default ones, of which most are missing.
func (k *keys) loadFiles() {
	paths, named := k.IdentityFiles, true
	if paths == nil {
		paths, named = k.inSSH("id_ed25519", "id_ecdsa", "id_rsa", "id_ecdsa_sk", "id_ed25519_sk"), false
	}
	for _, path := range paths {
		f := k.loadFile(path)
		missing := errors.Is(f.problem, fs.ErrNotExist)
		if f.public != nil {
			k.files = append(k.files, f)
		} else if named || !missing {
			k.skip(f.problem, true)
		}
		cert, err := auth.LoadCertificate(path + "-cert.pub")
		if err == nil {
			err = auth.CheckAlgorithm(cert)
		}
		switch {
		case err == nil:
			k.certs = append(k.certs, cert)
		case !errors.Is(err, fs.ErrNotExist):
			k.skip(err, named || !missing)
		}
	}
}

// loadFile reads a private key. If that is of no use, its public half still
// names a key of the agent; so does the file of a public key itself.
func (k *keys) loadFile(path string) keyFile {
	signer, err := auth.OpenIdentity(path, k.ask)
	if err == nil {
		return keyFile{public: signer.Key(), signer: signer}
	}
	if public, perr := auth.LoadPublicKey(path); perr == nil {
		return keyFile{public: public.Plain(), problem: &auth.KeyFileError{Path: path, Reason: ErrPublicHalf.Error(), Err: ErrPublicHalf}}
	}
	if public, perr := auth.LoadPublicKey(path + ".pub"); perr == nil {
		return keyFile{public: public.Plain(), problem: err}
	}
	return keyFile{problem: err}
}

// addHeld adds what the agent has for a plain key.
func (k *keys) addHeld(plain *auth.Key) {
	for _, certs := range []bool{true, false} {
		for _, s := range k.held {
			if s.Key().IsCert() == certs && s.Key().Plain().Equal(plain) {
				k.addKey(s)
			}
		}
	}
}

// addFile adds a file's key, unless the agent had it.
func (k *keys) addFile(f keyFile) {
	switch {
	case f.signer != nil:
		k.addKey(f.signer)
	case !k.seen[string(f.public.Blob())]:
		k.skip(f.problem, !errors.Is(f.problem, fs.ErrNotExist) || k.IdentityFiles != nil)
	}
}

// addKey adds a signer behind the certificates that files have for it.
func (k *keys) addKey(s auth.Signer) {
	for _, cert := range k.certs {
		k.addCertified(cert, []auth.Signer{s})
	}
	k.add(s)
}

// addCertified adds a certificate with the first of some signers that has its
// key.
func (k *keys) addCertified(cert *auth.Key, signers []auth.Signer) {
	for _, s := range signers {
		if certified, err := auth.WithCertificate(s, cert); err == nil {
			k.add(certified)
			return
		}
	}
}

// holders are the signers with the key of a certificate, the agent's first.
func (k *keys) holders(cert *auth.Key) (signers []auth.Signer) {
	for _, s := range k.held {
		if s.Key().Equal(cert.Plain()) {
			signers = append(signers, s)
		}
	}
	for _, f := range k.files {
		if f.signer != nil && f.public.Equal(cert.Plain()) {
			signers = append(signers, f.signer)
		}
	}
	return signers
}

func (k *keys) add(s auth.Signer) {
	blob := string(s.Key().Blob())
	if !k.seen[blob] {
		k.seen[blob] = true
		k.result = append(k.result, s)
	}
}
