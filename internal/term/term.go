package term

import (
	"os"
	"sync"

	xterm "golang.org/x/term"
)

// IsTerminal reports whether f is a terminal. It is false for nil.
func IsTerminal(f *os.File) bool {
	return f != nil && xterm.IsTerminal(int(f.Fd()))
}

// Size returns the size of the first terminal among files, and false if there
// is none or it does not know its size.
func Size(files ...*os.File) (rows, cols uint16, ok bool) {
	for _, f := range files {
		if !IsTerminal(f) {
			continue
		}
		if width, height, err := xterm.GetSize(int(f.Fd())); err == nil && width > 0 && height > 0 {
			return clamp(height), clamp(width), true
		}
	}
	return 0, 0, false
}

func clamp(n int) uint16 { return uint16(min(max(n, 0), 1<<16-1)) }

// Raw is a terminal that is made raw for a while: then every key arrives as it
// is pressed, nothing is echoed, and output is not changed on its way.
//
// Its methods may be called concurrently.
type Raw struct {
	file *os.File

	mu    sync.Mutex
	saved *xterm.State // the mode to go back to; nil while the terminal is not raw
	over  bool         // Restore was called
}

// NewRaw returns the terminal f, which is not changed before Enter.
func NewRaw(f *os.File) *Raw { return &Raw{file: f} }

// Enter makes the terminal raw, until Restore. After Restore it does nothing,
// so that a program that is about to end cannot leave a raw terminal behind.
func (r *Raw) Enter() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.saved != nil || r.over {
		return nil
	}
	saved, err := xterm.MakeRaw(int(r.file.Fd()))
	if err == nil {
		r.saved = saved
	}
	return err
}

// leave gives the terminal the mode it had before.
func (r *Raw) leave() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.leaveLocked()
}

func (r *Raw) leaveLocked() error {
	if r.saved == nil {
		return nil
	}
	saved := r.saved
	r.saved = nil
	return xterm.Restore(int(r.file.Fd()), saved)
}

// Restore gives the terminal the mode it had before, for good. It may be called
// again, and without Enter.
func (r *Raw) Restore() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	return r.leaveLocked()
}

// Again makes the terminal raw once more if it is to be, after the process was
// continued: the shell may have changed the mode meanwhile. The mode to go
// back to stays the first one.
func (r *Raw) Again() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.saved == nil {
		return nil
	}
	_, err := xterm.MakeRaw(int(r.file.Fd()))
	return err
}

// Active reports whether the terminal is raw now.
func (r *Raw) Active() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.saved != nil
}
