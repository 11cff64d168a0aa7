//go:build !unix

package session

import (
	"errors"
	"os"
)

// ownFile returns f: the caller must not close it before Wait.
func ownFile(f *os.File) (*os.File, error) { return f, nil }

// disownFile leaves the file to the caller.
func disownFile(*os.File) {}

// copyFile copies a file to the command's stdin. A Read that blocks when the
// command has ended is left to itself.
func (r *running) copyFile(f *os.File) error {
	result := make(chan error, 1)
	go func() { result <- r.copyReader(f) }()
	select {
	case err := <-result:
		return err
	case <-r.stdin.Stopped():
	case <-r.exited:
	}
	return errNoReader
}

// Descriptors are not passed on this system.

// CanPass reports that f cannot be passed.
func CanPass(*os.File) bool { return false }

func isExtra(*os.File) error { return errors.ErrUnsupported }

func descriptor(*os.File) (int, error) { return -1, errors.ErrUnsupported }

func checkPassed([]int) error { return errors.ErrUnsupported }

func closeFiles([]int) {}
