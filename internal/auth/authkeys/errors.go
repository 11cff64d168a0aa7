package authkeys

import "errors"

// Reasons that several places give. They reach callers as text, in a Problem.
var (
	errNoKey = errors.New("no key of a supported type")
	errTwice = errors.New("given twice")
)
