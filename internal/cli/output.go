package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/rexec/rex/internal/term"
)

// outputs are rex's own stdout and stderr as the command's. A reader that is
// gone ends one of them, and the command learns of it as it would here. Any
// other error ends both, and counts more than the command's status: what the
// user wanted to keep is not there.
type outputs struct {
	first func() // called at the first byte; nil is not
	// midLine is whether what is on the terminal now does not end in a line.
	midLine atomic.Bool
	once    sync.Once

	mu  sync.Mutex
	err error // the first that is not a broken pipe
}

// localWriter is one of them.
type localWriter struct {
	file   *os.File
	name   string
	shared *outputs
	ready  <-chan struct{} // nothing is written before it is closed

	terminal bool
}

func (o *outputs) writer(f *os.File, name string, ready <-chan struct{}) io.Writer {
	return &localWriter{file: f, name: name, shared: o, ready: ready, terminal: term.IsTerminal(f)}
}

// failure is the error that counts, nil if there is none.
func (o *outputs) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

func (o *outputs) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
}

// Write writes everything. Another program may have made the terminal or pipe
// that it shares with rex non-blocking: then it waits.
func (w *localWriter) Write(p []byte) (int, error) {
	<-w.ready
	if w.shared.first != nil {
		w.shared.once.Do(w.shared.first)
	}
	if err := w.shared.failure(); err != nil {
		return 0, err
	}
	var done int
	for {
		n, err := w.file.Write(p[done:])
		done += n
		if n > 0 && w.terminal {
			w.shared.midLine.Store(p[done-1] != '\n')
		}
		if errors.Is(err, syscall.EAGAIN) {
			err = term.WaitWritable(w.file)
			if err == nil && done < len(p) {
				continue
			}
		}
		if err != nil && !isBrokenPipe(err) {
			w.shared.fail(fmt.Errorf("cannot write %s: %w", w.name, withoutPath(err)))
		}
		return done, err
	}
}

// withoutPath leaves the reason of an error, since the name that os gives to
// stdout says nothing.
func withoutPath(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}
