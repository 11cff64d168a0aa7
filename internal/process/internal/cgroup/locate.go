//go:build linux

package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// mount is one cgroup2 mount: the directory point shows the hierarchy from its
// directory root on.
type mount struct{ root, point string }

// ownDirs returns the directories that stand for this process's own cgroup, one
// per usable cgroup2 mount, and the cgroup's path as /proc shows it.
func ownDirs() (dirs []string, path string, err error) {
	path, err = pathOf("self")
	if err != nil {
		return nil, "", err
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	mounts, err := parseMounts(f)
	if err != nil {
		return nil, "", err
	}
	for _, m := range mounts {
		if dir, ok := m.dir(path); ok {
			dirs = append(dirs, dir)
		}
	}
	if len(dirs) == 0 {
		return nil, "", fmt.Errorf("no cgroup2 mount shows the cgroup %s", path)
	}
	return dirs, path, nil
}

// pathOf returns the cgroup2 path of a process, "self" or a pid.
func pathOf(process string) (string, error) {
	b, err := os.ReadFile("/proc/" + process + "/cgroup")
	if err != nil {
		return "", err
	}
	return parseOwn(string(b))
}

// parseOwn finds the cgroup2 entry, the one of hierarchy 0 without
// controllers, in the content of a /proc/<pid>/cgroup file.
func parseOwn(content string) (string, error) {
	for line := range strings.Lines(content) {
		path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::")
		if ok && strings.HasPrefix(path, "/") {
			return path, nil
		}
	}
	return "", errors.New("the kernel or this process has no cgroup2")
}

// parseMounts returns the cgroup2 mounts of a mountinfo file (proc_pid_mountinfo(5)).
func parseMounts(r io.Reader) ([]mount, error) {
	var mounts []mount
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if m, ok := parseMount(lines.Text()); ok {
			mounts = append(mounts, m)
		}
	}
	return mounts, lines.Err()
}

func parseMount(line string) (mount, bool) {
	// 36 35 98:0 /root /point options [optional fields] - type source options
	before, after, ok := strings.Cut(line, " - ")
	fields := strings.Fields(before)
	if !ok || len(fields) < 6 || !strings.HasPrefix(after, "cgroup2 ") {
		return mount{}, false
	}
	return mount{root: unescape(fields[3]), point: unescape(fields[4])}, true
}

// unescape undoes mountinfo's octal escapes of space, tab, newline and backslash.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// dir returns where the mount shows the cgroup path. A mount whose root is not
// an ancestor of it does not show it.
func (m mount) dir(path string) (string, bool) {
	if m.root == "/" {
		return filepath.Join(m.point, path), true
	}
	below, ok := strings.CutPrefix(path, m.root)
	if !ok || (below != "" && below[0] != '/') {
		return "", false
	}
	return filepath.Join(m.point, below), true
}
