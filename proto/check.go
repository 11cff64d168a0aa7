package proto

import (
	"bytes"
	"slices"
	"unicode/utf8"
)

// Kind returns the name of the message's kind as on the wire, or "" if not
// exactly one is set.
func (m *Message) Kind() string {
	kind, n := "", 0
	for _, k := range [...]struct {
		name string
		set  bool
	}{
		{"hello", m.Hello != nil},
		{"exec", m.Exec != nil},
		{"signal", m.Signal != nil},
		{"resize", m.Resize != nil},
		{"started", m.Started != nil},
		{"exited", m.Exited != nil},
		{"ended", m.Ended != nil},
		{"refused", m.Refused != nil},
		{"draining", m.Draining != nil},
		{"bye", m.Bye != nil},
	} {
		if k.set {
			kind = k.name
			n++
		}
	}
	if n != 1 {
		return ""
	}
	return kind
}

// check holds the rules of the protocol that the tables of kinds.go cannot say.
// What makes one command impossible (a NUL byte, an empty argv) is for the
// server to refuse, see [Exec.Check].
func (m *Message) check() error {
	if m.Kind() == "" {
		return frameErrorf("a message has exactly one kind")
	}
	if m.Ended != nil {
		return m.Ended.check()
	}
	return nil
}

func (e *Ended) check() error {
	switch {
	case e.How == HowExited && e.Signal != nil:
		return frameErrorf("ended: exited, with a signal")
	case e.How == HowSignaled && e.Signal == nil:
		return frameErrorf("ended: signaled, without a signal")
	}
	return nil
}

// forWire returns m with what people read cut to what a peer accepts.
func (m *Message) forWire() *Message {
	switch {
	case m.Hello != nil:
		h := *m.Hello
		h.Software = cutText(h.Software)
		return &Message{Hello: &h}
	case m.Started != nil && m.Started.DroppedEnv != nil:
		s := *m.Started
		s.DroppedEnv = s.DroppedEnv.fit()
		return &Message{Started: &s}
	case m.Refused != nil:
		r := *m.Refused
		r.Message = cutText(r.Message)
		return &Message{Refused: &r}
	}
	return m
}

// normalize gives what means the same the same form: an empty path or dir is
// as none.
func (m *Message) normalize() {
	if e := m.Exec; e != nil {
		if len(e.Path) == 0 {
			e.Path = nil
		}
		if len(e.Dir) == 0 {
			e.Dir = nil
		}
	}
}

// Check reports what makes this one command impossible, as the code and message
// of a refusal; the session goes on. It returns "" if nothing does. A client
// calls it before it sends e: whatever passes also fits in a frame.
func (e *Exec) Check() (Code, string) { return e.checkAll((*Exec).checkStreams) }

// CheckPassed is Check for an exec that came with n descriptors: each of them
// must be named, and nothing else.
func (e *Exec) CheckPassed(n int) (Code, string) {
	return e.checkAll(func(e *Exec) (Code, string) { return e.checkFiles(n) })
}

// checkAll judges e; data is the check of what it says of its streams.
func (e *Exec) checkAll(data func(*Exec) (Code, string)) (Code, string) {
	for _, check := range [...]func(*Exec) (Code, string){
		(*Exec).checkForm, data, (*Exec).checkNames, (*Exec).checkStrings,
	} {
		if code, msg := check(e); code != "" {
			return code, msg
		}
	}
	return "", ""
}

// checkForm judges what is asked for: one of argv, line and subsystem, or none
// for the login shell. Being there is what counts, not being empty, so that
// nobody gets a login shell by accident.
func (e *Exec) checkForm() (Code, string) {
	given := 0
	for _, set := range [...]bool{e.Argv != nil, e.Line != nil, e.Subsystem != nil} {
		if set {
			given++
		}
	}
	switch {
	case given > 1:
		return CodeInvalid, "more than one of argv, line and subsystem"
	case e.Argv != nil && (len(e.Argv) == 0 || len(e.Argv[0])+len(e.Path) == 0):
		return CodeInvalid, "argv without a program"
	case e.Argv == nil && len(e.Path) > 0:
		return CodeInvalid, "path without argv"
	case e.Subsystem != nil && len(e.Subsystem) == 0:
		return CodeInvalid, "empty subsystem"
	case e.Term != nil && e.Stderr != 0:
		return CodeInvalid, "stderr stream beside a terminal"
	}
	return "", ""
}

// checkStreams judges the streams named. Whether they are open is for the
// streams' owner to say.
func (e *Exec) checkStreams() (Code, string) {
	if len(e.Files) > 0 {
		return CodeUnsupported, "descriptors are passed on a connection of their own only"
	}
	named := []uint32{e.Status, e.Stdin, e.Stdout}
	if e.Stderr != e.Stdout {
		named = append(named, e.Stderr)
	}
	for i, id := range named {
		if id != 0 && slices.Contains(named[:i], id) {
			return CodeBadStream, "a stream is named twice"
		}
	}
	return "", ""
}

// checkFiles judges the n descriptors that came and what names them.
func (e *Exec) checkFiles(n int) (Code, string) {
	switch {
	case e.Term != nil:
		return CodeInvalid, "a terminal beside passed descriptors"
	case e.Status != 0:
		return CodeInvalid, "a status stream beside passed descriptors"
	case e.Orphan == OrphanKeep:
		return CodeUnsupported, "a kept command has streams, which the server goes on reading"
	}
	used := make([]bool, n+1)
	for _, i := range append([]uint32{e.Stdin, e.Stdout, e.Stderr}, e.Files...) {
		if int64(i) > int64(n) {
			return CodeBadStream, "a descriptor is named that was not passed"
		}
		used[i] = true
	}
	if slices.Contains(e.Files, 0) || slices.Contains(used[1:], false) {
		return CodeBadStream, "a descriptor was passed that is not named"
	}
	return "", ""
}

func (e *Exec) checkNames() (Code, string) {
	switch {
	case len(e.Path) > MaxPath || len(e.Dir) > MaxPath:
		return CodeInvalid, "path or dir exceeds 4095 bytes"
	case len(e.Subsystem) > MaxName:
		return CodeInvalid, "subsystem exceeds 64 bytes"
	case hasNUL(e.Path) || hasNUL(e.Line) || hasNUL(e.Dir) || hasNUL(e.Subsystem):
		return CodeInvalid, "NUL byte in path, line, dir or subsystem"
	case e.Term != nil && (!utf8.ValidString(e.Term.Name) || hasNUL([]byte(e.Term.Name))):
		return CodeInvalid, "bad terminal name"
	}
	return "", ""
}

func (e *Exec) checkStrings() (Code, string) {
	if code, msg := checkList("argv", e.Argv); code != "" {
		return code, msg
	}
	if code, msg := checkList("env", e.Env); code != "" {
		return code, msg
	}
	for _, kv := range e.Env {
		if bytes.IndexByte(kv, '=') < 1 {
			return CodeInvalid, "env entry without a name"
		}
	}
	switch {
	case len(e.Line) > MaxString:
		return CodeTooBig, "line exceeds 131071 bytes"
	case size(e.Argv)+size(e.Env)+len(e.Line) > MaxExecBytes:
		return CodeTooBig, "argv, env and line exceed 2 MiB"
	}
	return "", ""
}

func checkList(name string, list [][]byte) (Code, string) {
	if len(list) > MaxEntries {
		return CodeTooBig, "more than 131072 entries in " + name
	}
	for _, s := range list {
		if len(s) > MaxString {
			return CodeTooBig, "a string of " + name + " exceeds 131071 bytes"
		}
		if hasNUL(s) {
			return CodeInvalid, "NUL byte in " + name
		}
	}
	return "", ""
}

func hasNUL(s []byte) bool { return bytes.IndexByte(s, 0) >= 0 }

// size is what list adds to MaxExecBytes.
func size(list [][]byte) int {
	n := EntryCost * len(list)
	for _, s := range list {
		n += len(s)
	}
	return n
}
