// Package login connects to a server over TCP as a user would have it who has
// an ~/.ssh: it finds the keys to log in with, judges the server by the
// known_hosts files and asks the user where ssh would.
//
// [Dial] does all of it. What it promises beside that:
//
//   - A server that is not verified gets no byte of the login. Every error on
//     the way, be it a file that cannot be read, means not verified.
//   - Three round trips to the first byte of output, with one usable key or one
//     that is remembered ([Conn.Accepted]). With several keys of which none is
//     remembered it is one more, for the server to choose.
//   - Nothing runs twice. A login is made again only when the server has
//     refused the one before, or before anything but the login was sent on it.
//
// Package knownhosts decides, package auth signs, package transport speaks;
// this one knows where a user keeps things, and what he is to be asked.
package login
