// Package auth holds the keys that prove who is at either end of a network
// connection, in the forms that SSH gave them: public keys and OpenSSH
// certificates, private key files, agents, and the signature (SSHSIG) that a
// client makes over a connection.
//
// A client proves itself with a [Signer]: a private key file ([OpenIdentity]) or
// a key that an agent keeps ([DialAgent]), with a certificate if it has one. What
// it signs is a [Statement], which binds the login to one connection and which
// the server verifies. A server proves itself with a [HostKey] in TLS.
//
// It is the door to golang.org/x/crypto/ssh, of which it uses the parsing, the
// writing and the verifying of one signature. Every policy is its own: which
// algorithms and sizes are accepted, and when a certificate counts
// ([CheckUserCert], [CheckHostCert]).
//
// The packages below it read the files of trust: knownhosts and authkeys.
// authorize decides with them who may log in.
package auth
