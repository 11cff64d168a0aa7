package cli

import (
	"errors"
	"io"
	"syscall"
)

// A keyboard carries what is typed on the terminal to the command, without the
// escape sequences.
type keyboard struct {
	in   io.Reader
	wait func() error // waits until in can be read, where it does not block by itself
	out  io.WriteCloser
	escapes

	// What the escapes do. disconnect is also called when the terminal is gone.
	disconnect func(reason string)
	suspend    func()
	help       func()
}

// run copies until the end of in, until out takes no more, or to a disconnect.
// Only an end of in, which a raw terminal does not have, ends out: what is cut
// short must not look complete.
func (k *keyboard) run() {
	buf := make([]byte, 4096)
	send := make([]byte, 0, len(buf)+1)
	for {
		n, err := k.in.Read(buf)
		for rest := buf[:n]; len(rest) > 0; {
			var action escapeAction
			send, action, rest = k.feed(send[:0], rest)
			if len(send) > 0 {
				if _, err := k.out.Write(send); err != nil {
					return
				}
			}
			if !k.do(action) {
				return
			}
		}
		switch {
		case err == io.EOF:
			_ = k.out.Close()
			return
		case errors.Is(err, syscall.EAGAIN) && k.wait() == nil:
		case err != nil:
			k.disconnect("the terminal is gone: " + err.Error())
			return
		}
	}
}

// do carries out an action and reports whether to go on.
func (k *keyboard) do(action escapeAction) bool {
	switch action {
	case escapeDisconnect:
		k.disconnect("disconnected by the escape sequence")
		return false
	case escapeSuspend:
		k.suspend()
	case escapeHelp:
		k.help()
	case escapeNone:
	}
	return true
}
