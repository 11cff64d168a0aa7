//go:build unix && !linux

package asuser

import "errors"

func onOwnThread(Identity, func()) error { return errors.ErrUnsupported }
