package term

import "errors"

// Suspend is not supported: there is no job control.
func (r *Raw) Suspend() error { return errors.ErrUnsupported }
