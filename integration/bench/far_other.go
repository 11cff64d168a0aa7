//go:build unix && !linux

package main

import (
	"context"
	"errors"
	"time"
)

// far is not there without network namespaces.
type far struct {
	rtt    time.Duration
	ssh    *sshd
	remote *remote
}

func (e *environment) startFar(time.Duration) (*far, error) {
	return nil, errors.New("distance needs Linux")
}

func (*far) close() {}

func (*far) roundTrips(int) func() (float64, error)                       { return nil }
func (*far) firstByte(context.Context, ...string) func() (float64, error) { return nil }
