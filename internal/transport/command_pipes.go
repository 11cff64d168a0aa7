package transport

import (
	"context"
	"errors"
	"io"
	"os/exec"
)

// dialPipes is [DialCommand] for systems without socket pairs. Reading goes
// through a goroutine, because closing a pipe does not end a read of it there.
func dialPipes(ctx context.Context, cmd *exec.Cmd) (Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if cmd.Stdin != nil || cmd.Stdout != nil {
		return nil, errTaken
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	child, err := startChild(cmd)
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, out)
		w.CloseWithError(err) // io.EOF for nil
		child.wait()          // also closes out, hence not before
	}()
	return &CommandConn{conn: pipes{PipeReader: r, in: in}, child: child}, nil
}

// errTaken says that a command's standard streams are not free.
var errTaken = errors.New("transport: Stdin and Stdout of the command are taken")

// pipes are the two pipes of a command.
type pipes struct {
	*io.PipeReader
	in io.WriteCloser
}

func (p pipes) Write(b []byte) (int, error) { return p.in.Write(b) }

func (p pipes) CloseWrite() error { return p.in.Close() }

func (p pipes) Close() error {
	return errors.Join(p.PipeReader.Close(), ignoreClosed(p.in.Close()))
}
