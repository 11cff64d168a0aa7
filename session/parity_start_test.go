//go:build unix

package session_test

import (
	"fmt"
	"strconv"
	"strings"
)

// Parity: what is started, with which arguments, environment and directory.

func argumentCases() []parityCase {
	echo := func(arg ...string) func(w *world) {
		return func(w *world) { w.run(w.cmd("printf", append([]string{`[%s]\0`}, arg...)...)) }
	}
	high := make([]byte, 0, 256)
	for b := 0xff; b >= 0x80; b-- {
		high = append(high, byte(b))
	}
	low := make([]byte, 0, 32)
	for b := 1; b < 32; b++ {
		low = append(low, byte(b))
	}
	return []parityCase{
		{"args words", echo("a", "b c", "d")},
		{"args empty", echo("", "a", "", "")},
		{"args newline", echo("a\nb", "\n", "c\r\n")},
		{"args quotes", echo(`'`, `"`, `'"'`, "`id`", `\`, `\\n`, `$HOME`, `$(id)`, `*`, `~`, `a;b|c&d`, `!x`, `#`)},
		{"args high bytes", echo(string(high), "\xff", "\xc3\x28", "ä€𝄞")},
		{"args control bytes", echo(string(low), "\x7f", "\x1b[31m")},
		{"args dashes", echo("--", "-", "--help", "-n")},
		{"args 131071 bytes", echo(strings.Repeat("x", 131071))},
		{"args 131072 bytes", echo(strings.Repeat("x", 131072))},
		{"args 100000", echo(numbers(100000)...)},
		{"args 1.9 MB", echo(repeat(strings.Repeat("y", 126666), 15)...)},
		{"args 2.2 MB", echo(repeat(strings.Repeat("y", 126666), 18)...)},
		{"args NUL", echo("a\x00b")},
		{"args none", func(w *world) { w.run(w.cmd("true")) }},
		{"args nil", func(w *world) {
			c := w.cmd("/bin/pwd")
			*c.fields().Args, *c.fields().Dir = nil, "/"
			w.run(c)
		}},
		{"args[0] of its own", func(w *world) {
			c := w.sh(`echo "$0 $1"; tr '\0' '|' </proc/$$/cmdline`, "one")
			(*c.fields().Args)[0] = "another name"
			w.run(c)
		}},
		{"path of its own", func(w *world) {
			c := w.cmd("true", "-c", "echo $0", "it")
			*c.fields().Path = "/bin/sh"
			w.run(c)
		}},
		{"string", func(w *world) {
			w.note("string", w.cmd("/bin/echo", "a b", "", "c").String())
			w.note("string", w.sh("exit 1").String())
		}},
	}
}

func numbers(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = strconv.Itoa(i)
	}
	return list
}

func repeat(s string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = s
	}
	return list
}

func environmentCases() []parityCase {
	env := func(show string, env ...string) func(w *world) {
		return func(w *world) {
			c := w.sh(fmt.Sprintf(`printf '[%%s]' %s`, show))
			*c.fields().Env = env
			w.run(c)
		}
	}
	in := func(dir func(w *world) string) func(w *world) {
		return func(w *world) {
			c := w.cmd("/bin/pwd")
			*c.fields().Dir = dir(w)
			var out strings.Builder
			*c.fields().Stdout = &out
			err := finish(w, "Run", c.Run)
			w.note("where", strings.ReplaceAll(out.String(), w.dir, "DIR"))
			w.noteEnd(c, err)
		}
	}
	return []parityCase{
		{"env one", env(`"$FOO"`, "FOO=bar")},
		{"env last wins", env(`"$FOO" "$BAR"`, "FOO=1", "BAR=x", "FOO=2", "FOO=3")},
		{"env values", env(`"$A" "$B" "$C" "$D"`, "A=", "B=a=b=c", "C=x\ny\t", "D=\xff\x80ä")},
		{"env large", env(`"${#FOO}"`, "FOO="+strings.Repeat("v", 100000))},
		{"env NUL", env(`"$FOO"`, "FOO=a\x00b")},
		{"env set and unset", env(`"${FOO-unset}" "${EMPTY-unset}"`, "EMPTY=")},
		{"dir", in(func(w *world) string { return w.dir })},
		{"dir root", in(func(w *world) string { return "/" })},
		{"dir missing", in(func(w *world) string { return w.dir + "/missing" })},
		{"dir is a file", in(func(w *world) string { return w.file("f", "", 0o600) })},
		{"dir with program relative to it", func(w *world) {
			w.file("prog", "#!/bin/sh\necho here\n", 0o700)
			c := w.cmd("./prog")
			*c.fields().Dir = w.dir
			w.run(c)
		}},
		{"dir with strange name", in(func(w *world) string {
			name := w.dir + "/a b\n\xff"
			w.must(makeDir(name))
			return name
		})},
	}
}
