//go:build !linux && !darwin && !freebsd

package transport

import (
	"context"
	"errors"
	"fmt"
)

// DialUnix is not supported on this system; the error wraps
// [errors.ErrUnsupported].
func DialUnix(context.Context, string, string) (Conn, error) {
	return nil, fmt.Errorf("unix sockets: %w", errors.ErrUnsupported)
}

// Stdio is not supported on this system; the error wraps
// [errors.ErrUnsupported].
func Stdio() (Conn, error) {
	return nil, fmt.Errorf("standard streams as a connection: %w", errors.ErrUnsupported)
}

// DialUnixCommand is not supported on this system; the error wraps
// [errors.ErrUnsupported].
func DialUnixCommand(context.Context, string, string, []byte, []int) (Conn, error) {
	return nil, fmt.Errorf("unix sockets: %w", errors.ErrUnsupported)
}
