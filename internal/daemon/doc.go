// Package daemon is the program rexd: flags, configuration, listeners, signals
// and logs around a [session.Server] that runs real processes.
//
// [Main] is the whole of it. It takes what it needs from an [Env], so that the
// same code is rexd, and rex when it starts a daemon for itself.
//
// [session.Server]: https://pkg.go.dev/github.com/rexec/rex/session#Server
package daemon
