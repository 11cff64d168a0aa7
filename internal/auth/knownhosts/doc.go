// Package knownhosts decides whether a host's key is the one that is expected,
// by the known_hosts files of OpenSSH (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
//
//   - [Load] reads files, [Set.Check] decides on one host, [Add] writes a line.
//   - A host is looked up as [host]:port. When no line pins a key for that name,
//     the lines for the plain host count: they hold the keys of its sshd.
//   - @revoked lines come before everything, @cert-authority lines hold only for
//     host certificates, and all other lines only for plain keys.
//
// Lines are read exactly as OpenSSH reads them, also the odd ones; one that it
// skips is skipped here and hides no other. Nothing is ever trusted because
// something could not be read.
package knownhosts
