// Package transport makes connections for sessions, each already
// authenticated when it is handed on: Unix sockets, where the kernel says who
// the peer is, and the standard streams of a process.
//
//   - [DialUnix] and [ListenUnix] are the two ends of a Unix socket. The login
//     (PROTOCOL.md section 4) is the peer's credentials and one AUTH frame.
//   - [DialCommand] talks to the standard input and output of a command that it
//     starts, [Stdio] to this process's own. Neither has a login: whoever could
//     start the process is who it runs as.
//   - [ListenPlainTCP] and [ListenPlainUnix] are for connections of any client,
//     which are no sessions: bytes that nobody logged in to send.
//
// What comes out is a [Conn]: bytes in both directions, an end in each. The
// package knows nothing of streams and commands, and starts none but the one
// that [DialCommand] is asked for.
package transport
