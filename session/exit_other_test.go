//go:build unix && !linux

package session_test

import "os"

func exit(code int) { os.Exit(code) }
