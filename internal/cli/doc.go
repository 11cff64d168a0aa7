// Package cli is the program rex: it understands a command line the way ssh
// does, runs one command through package session, and says how it ended.
//
// Stdout belongs to the remote command, byte for byte; whatever rex itself has
// to say goes to stderr (ui.go). The exit status is the command's own, or one
// of the few that exit.go lists.
//
// A run has these goroutines beside those of package session: one that takes
// signals and the window's size (supervise.go), one that sends signals to the
// command in their order, and one that waits for the command. They end with
// the program; nothing in this package runs longer than Main.
package cli
