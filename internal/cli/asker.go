package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/rexec/rex/internal/term"
)

// maxAnswer bounds what is typed as an answer, in bytes.
const maxAnswer = 1024

// An asker asks the user: on the terminal that rex belongs to, which stdin need
// not be, or through the program that $SSH_ASKPASS names. It is a
// [login.Asker].
type asker struct {
	tty     *os.File // nil if there is none
	program string   // empty if there is none
	prefer  bool     // the program rather than the terminal
	env     Env
	pause   func() (resume func()) // of the time that a connection may take
}

// newAsker finds out whom to ask. With BatchMode it is nobody.
func (r *runner) newAsker() *asker {
	a := &asker{env: r.env, pause: r.pauseTimeout}
	if r.inv.batchMode.value {
		return a
	}
	if tty, err := os.OpenFile(terminalPath, os.O_RDWR, 0); err == nil {
		a.tty = tty
	}
	require := r.env.Getenv("SSH_ASKPASS_REQUIRE")
	windows := r.env.Getenv("DISPLAY") != "" || r.env.Getenv("WAYLAND_DISPLAY") != ""
	if windows && require != "never" || require == "force" {
		a.program = r.env.Getenv("SSH_ASKPASS")
	}
	a.prefer = a.program != "" && (require == "prefer" || require == "force")
	return a
}

func (a *asker) canAsk() bool { return a.tty != nil || a.program != "" }

func (a *asker) close() {
	if a.tty != nil {
		_ = a.tty.Close()
	}
}

// Answer shows a question and reads a line.
func (a *asker) Answer(ctx context.Context, question string) (string, error) {
	defer a.pause()()
	if a.tty == nil || a.prefer {
		return a.runProgram(ctx, question)
	}
	return a.onTerminal(ctx, question, func() error { return nil })
}

// Passphrase is Answer while nothing that is typed is shown. The end of input is
// an empty one.
func (a *asker) Passphrase(ctx context.Context, question string) ([]byte, error) {
	defer a.pause()()
	if a.tty == nil || a.prefer {
		answer, err := a.runProgram(ctx, question)
		return []byte(answer), err
	}
	again, restore, err := term.NoEcho(a.tty)
	if err != nil {
		return nil, err
	}
	answer, err := a.onTerminal(ctx, question, again)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if rerr := restore(); err == nil {
		err = rerr
	}
	return []byte(answer), err
}

// onTerminal asks there, and once more whenever the process was stopped and
// continued, after again. When ctx ends first, the line that is being typed is
// left to whoever reads the terminal next.
func (a *asker) onTerminal(ctx context.Context, question string, again func() error) (string, error) {
	continued, stop := watchContinued()
	defer stop()
	if err := a.show(question); err != nil {
		return "", err
	}
	type result struct {
		line string
		err  error
	}
	typed := make(chan result, 1)
	go func() {
		line, err := readLine(a.tty)
		typed <- result{line, err}
	}()
	for {
		select {
		case r := <-typed:
			if errors.Is(r.err, io.EOF) {
				_, _ = io.WriteString(a.tty, "\r\n")
			}
			return r.line, r.err
		case <-continued:
			if err := errors.Join(again(), a.show(question)); err != nil {
				return "", err
			}
		case <-ctx.Done():
			_, _ = io.WriteString(a.tty, "\r\n")
			return "", context.Cause(ctx)
		}
	}
}

func (a *asker) show(question string) error {
	lines := strings.Split(question, "\n")
	for i, line := range lines {
		lines[i] = escape(line)
	}
	_, err := io.WriteString(a.tty, strings.Join(lines, "\r\n"))
	return err
}

// readLine reads up to the end of a line, and nothing beyond. The end of input
// alone is no answer.
func readLine(r io.Reader) (string, error) {
	var line []byte
	b := make([]byte, 1)
	for len(line) < maxAnswer {
		n, err := r.Read(b)
		switch {
		case n == 1 && b[0] == '\n':
			return string(line), nil
		case n == 1:
			line = append(line, b[0])
		case err == io.EOF && len(line) > 0:
			return string(line), nil
		case err != nil:
			return "", err
		}
	}
	return "", errors.New("the answer is too long")
}

// runProgram asks through the program, which prints the answer. That it fails
// means that the user has declined.
func (a *asker) runProgram(ctx context.Context, question string) (string, error) {
	cmd := exec.CommandContext(ctx, a.program, question)
	cmd.Stderr = a.env.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", errors.New("nobody answered: " + err.Error())
	}
	line, _, _ := strings.Cut(string(out), "\n")
	if len(line) > maxAnswer {
		return "", errors.New("the answer is too long")
	}
	return strings.TrimSuffix(line, "\r"), nil
}
