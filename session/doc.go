// Package session runs commands on another machine the way os/exec runs them
// on this one, over any connection, and serves them.
//
// A [Client] is one session with a server; it starts any number of commands at
// once. [Cmd] has the names and the contract of [os/exec.Cmd]:
//
//	client, err := session.Dial(ctx, "unix:/run/rex.sock", nil)
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//	out, err := client.Command("uname", "-a").Output()
//
// What differs from os/exec is written at each name; in short: a nil Env is the
// login environment of the remote user, arguments arrive exactly as they are
// and no shell is involved (for a line of shell use [Client.Shell]), Cancel
// kills the command's whole tree, and success is only reported when the
// server's end record arrived and every byte it counts was received. If the
// connection is lost, the error wraps [ErrConnLost], the command's fate is
// unknown to the client, and the server applies the command's [Orphan] policy.
//
// A [Server] runs commands for clients through a [Handler]. The handler of
// package execd starts real processes. The end of a session, orderly or by
// EOF, is normal and not an error.
//
// The protocol is specified in proto/PROTOCOL.md.
package session
