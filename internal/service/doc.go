// Package service makes a server of a program that reads stdin and writes
// stdout, for clients that speak plain TCP or a Unix socket: nc, a browser, a
// program of one's own.
//
// Every connection gets an instance of the program. What the client sends is
// its stdin, what it writes to stdout is sent, and its stderr goes to the log.
// The two directions end independently, as those of a connection do: the
// client's FIN is the end of stdin, and the end of stdout is a FIN to the
// client.
//
// The package promises two things about the end.
//
//   - No answer is lost. When the program has ended with input left unread, the
//     answer is sent and ended, and the input is read and discarded until the
//     client's FIN ([Linger]): to close a connection with unread input resets
//     it, and a reset makes the client's kernel throw away what the client has
//     not read yet.
//   - No part passes for the whole. Where a limit, a shutdown or a lost client
//     cuts an instance short, the connection is reset, and never ended by a FIN.
//     (A Unix socket knows no reset: there the client sees the end.)
//
// In either case nothing of the program's tree is left when the connection is
// gone: what still runs is sent HUP and TERM, and KILL after a while.
//
// How processes are started is up to [Service.Start]; the package knows what a
// [session.Process] can do, and nothing of who may connect.
//
// Goroutines: [Service.Serve] runs on its caller's. Each connection has one that
// sees it through and waits for the others that it starts: one for each of
// stdin, stdout and stderr, and for a moment one that ends the tree. They all end
// with the connection; [Service.Shutdown] waits for that.
package service
