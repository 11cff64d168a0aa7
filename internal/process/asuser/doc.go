// Package asuser looks at files with the rights of another user, from a program that runs as root.
//
// Root that opens what a user has named reads what the user may not: a symbolic
// link to another's secret, a file on the way that was exchanged in time. Here
// the kernel decides with the user's own rights instead.
package asuser
