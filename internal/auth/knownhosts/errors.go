package knownhosts

import "errors"

// Why a line is skipped ([Problem]).
var (
	errMarker = errors.New("unknown marker")
	errShort  = errors.New("no key")
	errBase64 = errors.New("key is not base64")
	errKey    = errors.New("bad key or unknown type")
	errType   = errors.New("key is not of the type that stands before it")
	errHash   = errors.New("bad hashed name")
)

// Why a certificate does not count ([Result]), beside what auth.CheckHostCert says.
var (
	errNoAuthority = errors.New("no line names the authority that signed the host certificate")
	errOtherKey    = errors.New("the host certificate is for another key")
)
