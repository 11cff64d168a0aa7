// Package revoked reads lists of revoked keys in the forms of OpenSSH: a binary
// key revocation list, as ssh-keygen -k writes it (PROTOCOL.krl), or a text file
// with a public key on each line. They are what RevokedKeys in sshd_config(5)
// and RevokedHostKeys in ssh_config(5) name.
//
// A list that cannot be understood to its last byte is an error, for it may
// revoke what was not understood: who gets one must let no key in.
package revoked
