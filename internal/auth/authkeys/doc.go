// Package authkeys reads authorized_keys files (sshd(8), AUTHORIZED_KEYS FILE
// FORMAT): which keys and authorities may log in, from where, until when, and
// what they may do then.
//
// It is never more generous than sshd. A line that is not understood to its end
// is no entry but a [Problem], and takes later lines with the same key with it:
// sshd may have understood it, and stopped there. No option is dropped from a
// line that is kept.
//
// [Parse] reads the bytes of a file, [All] looks up a key. Nothing here opens a
// file, asks a name server, or runs anything; all of it may be called
// concurrently.
package authkeys
