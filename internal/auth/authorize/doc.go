// Package authorize decides who may log in to this host with which key, and
// what the login may do then: the gates of the configuration and of the account,
// revoked keys, authorized_keys files, and user certificates.
//
// A [Policy] decides about one key at a time, before anybody has proved to hold
// it. What it grants is in its [Decision], and in nothing else. More
// restrictions anywhere never grant more.
//
// Everything that it knows of the machine comes through a [System].
// [CheckSSHD] finds what the administrator has told sshd, and which rexd would
// not know.
package authorize
