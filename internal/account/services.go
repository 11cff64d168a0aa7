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

// A nameSwitch tells which sources nsswitch.conf(5) has for what is asked here.
type nameSwitch struct {
	accountsOnly bool // accounts are in files and nowhere else
	filesFirst   bool // the files' account is the account
	groupsOnly   bool // groups are in files and nowhere else
	shadowOnly   bool // passwords and expiry are in files and nowhere else
}

// nameSwitch reads nsswitch.conf. A database that it does not name, or a system
// without it, has files, but shadow has what passwd has; a file that cannot be
// read has everything.
func (s source) nameSwitch() nameSwitch {
	f, err := os.Open(s.path("nsswitch.conf"))
	if err != nil {
		none := errors.Is(err, os.ErrNotExist)
		return nameSwitch{accountsOnly: none && !switchless, filesFirst: none, groupsOnly: none, shadowOnly: none}
	}
	defer f.Close()
	has, shadow := nameSwitch{accountsOnly: true, filesFirst: true, groupsOnly: true}, false
	err = eachLine(f, func(line string) bool {
		line, _, _ = strings.Cut(line, "#")
		database, list, ok := strings.Cut(line, ":")
		sources := strings.Fields(list)
		switch strings.TrimSpace(database) {
		case "passwd":
			has.accountsOnly = ok && allFiles(sources)
			has.filesFirst = ok && firstFiles(sources)
		case "shadow":
			shadow, has.shadowOnly = true, ok && allFiles(sources)
		case "group", "initgroups":
			has.groupsOnly = has.groupsOnly && ok && allFiles(sources)
		}
		return true
	})
	if err != nil {
		return nameSwitch{}
	}
	if !shadow {
		has.shadowOnly = has.accountsOnly
	}
	return has
}

// allFiles tells whether a list of sources has nothing but files in it.
func allFiles(sources []string) bool {
	return !slices.ContainsFunc(sources, func(s string) bool { return s != "files" })
}

// firstFiles tells whether what is found in files is not looked for elsewhere,
// which an action behind the source, such as [SUCCESS=merge], could ask for.
func firstFiles(sources []string) bool {
	return len(sources) > 0 && sources[0] == "files" && (len(sources) == 1 || !strings.HasPrefix(sources[1], "["))
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

// getent asks for one key of a database, which validKey keeps from being an
// option: some getent take -- for a key. What it does not find is ErrNotFound.
func (s source) getent(ctx context.Context, database, key string) (string, error) {
	out, err := s.run(ctx, "getent", database, key)
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
