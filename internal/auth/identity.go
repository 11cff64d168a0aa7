package auth

import (
	"context"
	"crypto"
	"errors"
	"io/fs"
)

// A Passphrase asks the user for a passphrase, showing prompt, which is
// printable. An empty answer means that the user has none to give.
type Passphrase func(ctx context.Context, prompt string) ([]byte, error)

// maxAsked is how often the user is asked for one passphrase.
const maxAsked = 3

// OpenIdentity is the signer of a private key file. A file with a passphrase is
// opened without it as long as the public key is known: from the file in
// OpenSSH's format, from path.pub beside any other. ask is called when Sign
// needs the key, and at once if the public key is not known; three wrong
// answers in a row, an empty one, or a nil ask is [ErrPassphrase]. A right answer is
// kept for the signer's life.
//
// The file must be regular, at most 1 MiB, and if it is this user's closed to
// others. The error is a *[KeyFileError].
func OpenIdentity(path string, ask Passphrase) (Signer, error) {
	file, err := readKeyFile(path, userOnly)
	if err != nil {
		return nil, err
	}
	id := &identity{path: path, ask: ask, turn: make(chan struct{}, 1)}
	if err := id.load(file); err != nil {
		return nil, keyFileError(path, err)
	}
	return id, nil
}

// load finds out the public key, and the private one if that takes nothing.
func (id *identity) load(file []byte) (err error) {
	id.signer, id.key, err = parsePrivate(file, nil)
	if !errors.Is(err, errEncrypted) {
		return err
	}
	id.file = file
	if id.key, err = publicPart(id.path, file); err != nil {
		return err
	}
	if id.key == nil {
		return id.unlock(context.Background())
	}
	return CheckAlgorithm(id.key)
}

// publicPart is the public key of a file with a passphrase; nil if only the
// private one tells.
func publicPart(path string, file []byte) (*Key, error) {
	if k := clearKey(file); k != nil {
		return k, nil
	}
	k, err := LoadPublicKey(path + ".pub")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err == nil && k.IsCert():
		return nil, badKeyFile(path+".pub", "this is a certificate and not a key")
	}
	return k, err
}

// An identity is the signer of a file.
type identity struct {
	path string
	ask  Passphrase
	key  *Key

	turn   chan struct{} // full while somebody holds what follows
	file   []byte        // until signer is known
	signer crypto.Signer
}

func (id *identity) Key() *Key { return id.key }

func (id *identity) String() string { return Printable(id.path) }

func (id *identity) Sign(ctx context.Context, s *Statement) ([]byte, error) {
	message, err := messageFor(id.key, s)
	if err != nil {
		return nil, err
	}
	// One prompt at a time, and the next one may find it answered.
	select {
	case id.turn <- struct{}{}:
		defer func() { <-id.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if id.signer == nil {
		if err := id.unlock(ctx); err != nil {
			return nil, keyFileError(id.path, err)
		}
	}
	return signMessage(id.signer, message)
}

// unlock asks for the passphrase. The caller has the turn.
func (id *identity) unlock(ctx context.Context) error {
	if id.ask == nil {
		return noPassphrase("it has a passphrase, and there is nobody to ask")
	}
	why := noPassphrase("no passphrase was given")
	prompt := "passphrase for " + Printable(id.path) + ": "
	for range maxAsked {
		passphrase, err := id.ask(ctx, prompt)
		if err != nil {
			return err
		}
		if len(passphrase) == 0 {
			break
		}
		err = id.open(passphrase)
		clear(passphrase)
		if !errors.Is(err, ErrPassphrase) {
			return err
		}
		why = "the passphrase is wrong"
	}
	return why
}

// noPassphrase is ErrPassphrase, and says which of its reasons it was.
type noPassphrase string

func (e noPassphrase) Error() string { return string(e) }

func (e noPassphrase) Is(target error) bool { return target == ErrPassphrase }

func (id *identity) open(passphrase []byte) error {
	signer, key, err := parsePrivate(id.file, passphrase)
	switch {
	case err != nil:
		return err
	case id.key == nil: // nobody else has id yet
		id.key = key
	case !id.key.Equal(key):
		return badKeyFile(id.path, "the public key beside it is of another key")
	}
	id.signer, id.file = signer, nil
	return nil
}
