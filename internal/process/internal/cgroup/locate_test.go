//go:build linux

package cgroup

import (
	"slices"
	"strings"
	"testing"
)

func TestParseOwn(t *testing.T) {
	for content, want := range map[string]string{
		"0::/\n": "/",
		"9:name=systemd:/x\n4:memory:/y\n0::/user.slice/a b\n": "/user.slice/a b",
		"0::/last/without/newline":                             "/last/without/newline",
		"0::/a:b\n":                                            "/a:b",
	} {
		if got, err := parseOwn(content); err != nil || got != want {
			t.Errorf("%q: %q %v, want %q", content, got, err, want)
		}
	}
	for _, content := range []string{"", "4:memory:/y\n", "0::\n", "10::/x\n", "0::relative\n"} {
		if got, err := parseOwn(content); err == nil {
			t.Errorf("%q gives %q", content, got)
		}
	}
}

const mountinfo = `22 27 0:21 / /proc rw,nosuid shared:5 - proc proc rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
42 31 0:38 /a\040b /mnt/with\011tab\134 rw,relatime shared:1 master:2 - cgroup2 none rw
nonsense
`

func TestParseMounts(t *testing.T) {
	got, err := parseMounts(strings.NewReader(mountinfo))
	want := []mount{{"/", "/sys/fs/cgroup/unified"}, {"/a b", "/mnt/with\ttab\\"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q %v, want %q", got, err, want)
	}
}

func TestMountDir(t *testing.T) {
	for _, c := range []struct {
		root, path, want string
	}{
		{"/", "/", "/cg"},
		{"/", "/x/y", "/cg/x/y"},
		{"/x", "/x", "/cg"},
		{"/x", "/x/y", "/cg/y"},
		{"/x", "/xy", ""},
		{"/x", "/", ""},
		{"/../..", "/", ""}, // the mount shows more than our cgroup namespace
	} {
		got, ok := mount{c.root, "/cg"}.dir(c.path)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("root %q shows %q at %q %v, want %q", c.root, c.path, got, ok, c.want)
		}
	}
}

func FuzzParseMount(f *testing.F) {
	for line := range strings.Lines(mountinfo) {
		f.Add(line)
	}
	f.Add(`1 2 3:4 \400 \08 - - cgroup2 `)
	f.Fuzz(func(t *testing.T, line string) {
		m, ok := parseMount(line)
		if ok && (m.root == "" || m.point == "") {
			t.Errorf("%q gives %+v", line, m)
		}
		m.dir("/x") // no panic
	})
}

func FuzzParseHome(f *testing.F) {
	f.Add("rex.1234.5678.4026531836.0")
	f.Add("rex.-1.+5.x.00")
	f.Fuzz(func(t *testing.T, name string) {
		if o, ok := parseHome(name); ok && !strings.HasPrefix(name, strings.TrimSuffix(o.name(0), "0")) {
			t.Errorf("%q gives %+v", name, o)
		}
	})
}

func TestHomeNames(t *testing.T) {
	o := owner{pid: 12, start: 1 << 40, namespace: "4026531836"}
	if got, ok := parseHome(o.name(3)); !ok || got != o {
		t.Errorf("%q gives %+v", o.name(3), got)
	}
	for _, name := range []string{"", "rex", "rex.1.2.3", "rex.1.2.3.4.5", "rex.0.2.3.4", "rex.-1.2.3.4", "rex.01.2.3.4", "rex.1.2.3.04", "rex.1.2.3.x", "tex.1.2.3.4"} {
		if o, ok := parseHome(name); ok {
			t.Errorf("%q gives %+v", name, o)
		}
	}
}
