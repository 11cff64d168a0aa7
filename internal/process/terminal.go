//go:build unix

package process

import (
	"bytes"
	"errors"
	"os"
	"sync"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// terminal is the master side of a command's pseudo-terminal.
type terminal struct {
	master *os.File
	output *output
	name   string // of the slave's device

	writing sync.Mutex // one writer at a time; also guards what follows
	partial bool       // bytes were written after the last end of a line
	ended   bool       // end was called
}

// openTerminal makes a terminal of that size, which belongs to that user, and
// returns the descriptor of its slave, blocking and closed on exec, for the command.
func openTerminal(t *Term, owner *Credential) (term *terminal, slave int, err error) {
	master, tty, err := pty.Open()
	if err != nil {
		return nil, -1, err
	}
	// The library has used the files in a way that makes Go block a thread in
	// their reads. Duplicates are free of that.
	defer master.Close()
	defer tty.Close()
	slave, err = duplicate(tty)
	if err != nil {
		return nil, -1, err
	}
	if err = giveTo(owner, slave, t.Group); err == nil {
		term, err = newTerminal(master, slave, t)
	}
	if err != nil {
		_ = unix.Close(slave)
		return nil, -1, err
	}
	term.name = tty.Name()
	return term, slave, nil
}

// giveTo gives the terminal to the user that the command runs as.
func giveTo(owner *Credential, slave int, group uint32) error {
	mode := uint32(0o620) // what write(1) needs; some devpts mounts give 0600
	if owner != nil {
		gid := int(group)
		if group == 0 {
			gid, mode = -1, 0o600
		}
		if err := unix.Fchown(slave, int(owner.UID), gid); err != nil {
			return os.NewSyscallError("fchown", err)
		}
	}
	_ = unix.Fchmod(slave, mode)
	return nil
}

func newTerminal(master *os.File, slave int, t *Term) (*terminal, error) {
	if err := setModes(slave, t.Modes); err != nil {
		return nil, err
	}
	fd, err := duplicate(master)
	if err != nil {
		return nil, err
	}
	f, err := ourEnd(fd, "terminal")
	if err != nil {
		return nil, err
	}
	out, err := newOutput(f)
	if err != nil {
		return nil, err
	}
	term := &terminal{master: f, output: out}
	if err := term.resize(t.Rows, t.Cols); err != nil {
		_ = f.Close()
		return nil, err
	}
	return term, nil
}

func duplicate(f *os.File) (int, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	return fd, os.NewSyscallError("fcntl", err)
}

// control runs call with the master's descriptor, unless it is closed.
func (t *terminal) control(call func(fd int) error) error {
	conn, err := t.master.SyscallConn()
	if err != nil {
		return err
	}
	var callErr error
	if err := conn.Control(func(fd uintptr) { callErr = call(int(fd)) }); err != nil {
		return os.ErrClosed
	}
	return callErr
}

func (t *terminal) resize(rows, cols uint16) error {
	size := &unix.Winsize{Row: rows, Col: cols}
	return t.control(func(fd int) error {
		return os.NewSyscallError("ioctl TIOCSWINSZ", unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size))
	})
}

func (t *terminal) attributes() (*unix.Termios, error) {
	var attr *unix.Termios
	err := t.control(func(fd int) (err error) {
		attr, err = unix.IoctlGetTermios(fd, ioctlGetTermios)
		return os.NewSyscallError("tcgetattr", err)
	})
	return attr, err
}

// hangup closes the master: the kernel sends SIGHUP to the session leader and
// the foreground group, and reads and writes of the slave fail from now on.
func (t *terminal) hangup() error {
	if err := t.master.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

func (t *terminal) write(p []byte) (int, error) {
	t.writing.Lock()
	defer t.writing.Unlock()
	if t.ended {
		return 0, os.ErrClosed
	}
	n, err := t.master.Write(p)
	if n > 0 {
		t.partial = !t.endsLine(p[n-1])
	}
	return n, err
}

// endsLine tells whether a terminal in canonical mode takes b as the end of a
// line. A carriage return, which is what the Enter key sends, usually is one.
func (t *terminal) endsLine(b byte) bool {
	if b == '\n' {
		return true
	}
	attr, err := t.attributes()
	if err != nil {
		return false
	}
	if b == '\r' {
		return attr.Iflag&unix.ICRNL != 0
	}
	special := []byte{attr.Cc[unix.VEOL], attr.Cc[unix.VEOL2], attr.Cc[unix.VEOF]}
	return b != noChar && bytes.IndexByte(special, b) >= 0
}

// end tells the command that its input has ended, as far as a terminal can:
// in canonical mode by the end-of-file character, twice after a partial line
// because the first one only delivers that line. In raw mode every byte is
// data, so nothing is written.
func (t *terminal) end() error {
	t.writing.Lock()
	defer t.writing.Unlock()
	if t.ended {
		return os.ErrClosed
	}
	t.ended = true
	attr, err := t.attributes()
	if err != nil || attr.Lflag&unix.ICANON == 0 || attr.Cc[unix.VEOF] == noChar {
		return err
	}
	eof := []byte{attr.Cc[unix.VEOF], attr.Cc[unix.VEOF]}
	if !t.partial {
		eof = eof[:1]
	}
	_, err = t.master.Write(eof)
	return err
}

// terminalInput is the terminal as a command's stdin.
type terminalInput struct{ term *terminal }

// Write writes what the command will read as typed.
func (in terminalInput) Write(p []byte) (int, error) { return in.term.write(p) }

// Close sends the end of input and leaves the terminal open. Like Write it
// waits until the terminal takes it, at the latest until the hangup.
func (in terminalInput) Close() error { return in.term.end() }
