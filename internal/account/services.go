//go:build unix

package account

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// errNoTool: the program that would know is not installed.
var errNoTool = errors.New("not installed")

// maxAnswer bounds the output of a tool: 65,536 groups, as many as Linux takes.
const maxAnswer = 1 << 20

// onlyFiles tells whether nsswitch.conf(5) names no other source than files
// for these databases. A database that it does not name, or a system without
// it, has files.
func (s source) onlyFiles(databases ...string) bool {
	f, err := os.Open(s.path("nsswitch.conf"))
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	defer f.Close()
	only := true
	err = eachLine(f, func(line string) bool {
		line, _, _ = strings.Cut(line, "#")
		name, sources, ok := strings.Cut(line, ":")
		if ok && slices.Contains(databases, strings.TrimSpace(name)) {
			only = only && allFiles(sources)
		}
		return true
	})
	return only && err == nil
}

// allFiles tells whether a list of sources has nothing but files in it.
func allFiles(sources string) bool {
	return !slices.ContainsFunc(strings.Fields(sources), func(s string) bool { return s != "files" })
}

// run runs a tool with nothing of our environment and returns what it prints.
func (s source) run(ctx context.Context, tool string, args ...string) (string, error) {
	path, err := s.find(tool)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	out := bounded{}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}
	cmd.Dir = "/"
	cmd.Stdout = &out
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	if ctx.Err() != nil {
		err = context.Cause(ctx) // it says more than that the tool was killed
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", tool, err)
	}
	return out.text.String(), nil
}

func (s source) find(tool string) (string, error) {
	for _, dir := range s.tools {
		path := dir + "/" + tool
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", tool, errNoTool)
}

// getent asks for one key of a database. The key it does not find is ErrNotFound.
func (s source) getent(ctx context.Context, database, key string) (string, error) {
	out, err := s.run(ctx, "getent", database, "--", key)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 2 {
		return "", ErrNotFound // getent(1)
	}
	return out, err
}

// bounded takes maxAnswer bytes and fails then, which ends the tool.
type bounded struct{ text bytes.Buffer }

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if b.text.Len()+len(p) > maxAnswer {
		return 0, fmt.Errorf("more than %d bytes of output", maxAnswer)
	}
	return b.text.Write(p)
}
