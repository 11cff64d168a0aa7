//go:build !linux && !darwin && !freebsd

package transport

import (
	"context"
	"os/exec"
)

// DialCommand starts cmd, whose Stdin and Stdout must be nil, and returns a
// connection to them, a [*CommandConn]. ctx bounds the start only.
//
// Close closes the connection, by which the command should end; it is killed
// if it has not after 2 s. It is waited for in the background, by goroutines
// that end when nothing holds its standard output any more.
func DialCommand(ctx context.Context, cmd *exec.Cmd) (Conn, error) { return dialPipes(ctx, cmd) }
