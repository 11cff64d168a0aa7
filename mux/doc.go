// Package mux turns one ordered byte connection into many one-way streams whose end is exact: a reader is told
// io.EOF only when the writer really ended the stream, a writer learns at once that its reader has gone, and a
// connection that dies is never mistaken for the end of data.
//
// The client opens every stream; the server claims it by the id that a message announced:
//
//	client                                   server
//	OpenControl (the session's first stream) AcceptControl
//	OpenSend                                 TakeReceive(id)
//	OpenReceive                              TakeSend(id)
//
// A one-way stream carries data in one direction. FIN in that direction is the end of the data; FIN in the other
// direction says that the reader has gone. A reader says so by CancelRead, and by itself once it has returned
// io.EOF, so that a stream which was read to its end costs nothing any more.
//
// The streams are those of hashicorp/yamux, on the wire and in memory, but no yamux type or error leaves this
// package. Between yamux and the connection sits a guard which reads every frame header in both directions. It ends
// the connection when the peer breaks a rule, knows which FINs really came, and joins header and body of a frame
// into one write.
//
// Nothing in a session detects a silent peer: the connection has to end itself when its peer is gone for good. Over a
// network a Link is that connection. It carries the session's bytes in records on TLS, tells the end that the peer
// wanted from one that befell it, and asks whether the peer is still there.
package mux
