// Package proto holds everything that crosses the wire between rex and rexd:
// the messages, their encoding, their limits and the error codes.
//
// PROTOCOL.md beside this file is the specification; the Go types follow its
// order and names. The package knows nothing of streams, sockets or processes:
// it turns Go values into frames and back, and refuses what the specification
// refuses before it allocates for it.
//
//   - [Message] and its kinds are the frames of control and status streams,
//     one CBOR map each, read with a [Reader] and written with [Append] or
//     [Write]. What breaks the protocol is a [*FrameError] in both directions.
//   - [Exec.Check] tells what is only one command's fault: a refusal, not the
//     end of the session.
//   - [Auth] and [AuthResult] are the two hand-parsed frames before them, and
//     their errors are [*AuthError].
//   - [Code] is the reason of a refusal, in one table with what a command
//     line exits with.
//
// Functions may be called concurrently; a [Reader] may not.
package proto
