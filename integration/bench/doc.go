// Command bench measures rex beside what a user would pick instead, and beside
// the limit of the machine, in one run, and prints a table.
//
//	go run ./integration/bench            all rows
//	go run ./integration/bench -run exec  rows whose name contains exec
//
// Every row is the median of interleaved rounds, so that the machine's moods
// hit all columns alike; the ratio to the limit is the figure, not the time.
// OpenSSH is measured if sshd and ssh are installed: a server of its own on a
// loopback port, with keys made for the run, login shell /bin/sh and UsePAM no.
package main
