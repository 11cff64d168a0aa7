// Package execd is the handler that runs real processes: what makes a
// [session.Server] a remote command execution server.
//
// It runs every command in the environment of a login, as the account that the
// transport granted in a [Login], or without one as the user of this process:
// it decides what of a client's environment is passed on, binds the client to
// what the login allows, and hands the start to the part of rex that holds
// process trees.
package execd
