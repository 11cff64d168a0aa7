// Package execd is the handler that runs real processes: what makes a
// [session.Server] a remote command execution server.
//
// It runs every command as the user of this process, in the environment of a
// login: it decides what of a client's environment is passed on, finds the
// login shell and the home directory, and hands the start to the part of rex
// that holds process trees.
package execd
