package proto

import (
	"math"

	"pgregory.net/rapid"
)

// genMessage draws any message that may be sent.
func genMessage() *rapid.Generator[*Message] {
	return rapid.Custom(func(t *rapid.T) *Message {
		switch rapid.IntRange(0, 9).Draw(t, "kind") {
		case 0:
			return &Message{Hello: genHello(t)}
		case 1, 2, 3:
			return &Message{Exec: genExec(t)}
		case 4:
			return &Message{Signal: &Signal{ID: genID(t), Name: genSignalName(t, 1), To: rapid.SampledFrom([]Target{"", ToProcess, ToGroup, ToTree}).Draw(t, "to")}}
		case 5:
			return &Message{Resize: &Resize{ID: genID(t), Rows: rapid.Uint16().Draw(t, "rows"), Cols: rapid.Uint16().Draw(t, "cols")}}
		case 6:
			return &Message{Started: &Started{PID: rapid.Uint64Max(math.MaxInt32).Draw(t, "pid"), DroppedEnv: genNames(t)}}
		case 7:
			return &Message{Exited: &Exited{Code: genCode(t), Signal: genSignal(t, false)}}
		case 8:
			return &Message{Ended: genEnded(t)}
		}
		return rapid.SampledFrom([]*Message{{Draining: &Draining{}}, {Bye: &Bye{}}, {Refused: genRefused(t)}}).Draw(t, "other")
	})
}

func genID(t *rapid.T) uint64    { return rapid.Uint64Range(1, math.MaxInt64).Draw(t, "id") }
func genCount(t *rapid.T) uint64 { return rapid.Uint64Max(math.MaxInt64).Draw(t, "count") }
func genCode(t *rapid.T) uint64  { return rapid.Uint64Max(255).Draw(t, "code") }

func genText(t *rapid.T) string { return rapid.StringN(0, -1, MaxText).Draw(t, "text") }

func genName(t *rapid.T) string { return rapid.StringMatching(`[a-z0-9._-]{1,64}`).Draw(t, "name") }

func genSignalName(t *rapid.T, least int) string {
	name := rapid.StringMatching(`[A-Z0-9+-]{0,32}`).Draw(t, "signal")
	if len(name) < least {
		return "TERM"
	}
	return name
}

// genBytes draws a byte string that is nil, empty or not.
func genBytes(t *rapid.T) []byte {
	if rapid.Bool().Draw(t, "absent") {
		return nil
	}
	return rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "bytes")
}

func genList(t *rapid.T) [][]byte {
	if rapid.Bool().Draw(t, "absent") {
		return nil
	}
	return rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 60), 0, 30).Draw(t, "list")
}

func genNames(t *rapid.T) (out Names) {
	for _, name := range genList(t) {
		out = append(out, string(name))
	}
	return out
}

func genHello(t *rapid.T) *Hello {
	caps := make([]string, rapid.IntRange(0, 5).Draw(t, "caps"))
	for i := range caps {
		caps[i] = genName(t)
	}
	return &Hello{
		Version: rapid.Uint64Range(1, math.MaxUint32).Draw(t, "version"), Software: genText(t), Caps: caps,
		MaxCommands: rapid.Uint64Max(math.MaxUint32).Draw(t, "commands"), MaxFrame: rapid.Uint64Max(math.MaxUint32).Draw(t, "frame"),
	}
}

func genExec(t *rapid.T) *Exec {
	stream := rapid.Uint32()
	e := &Exec{
		ID: genID(t), Argv: genList(t), Path: genBytes(t), Line: genBytes(t), Subsystem: genBytes(t),
		Env: genList(t), Dir: genBytes(t), Stdin: stream.Draw(t, "stdin"), Stdout: stream.Draw(t, "stdout"),
		Stderr: stream.Draw(t, "stderr"), Status: stream.Draw(t, "status"),
		Orphan: rapid.SampledFrom([]Orphan{"", OrphanKill, OrphanKeep}).Draw(t, "orphan"), Timeout: genCount(t),
	}
	if rapid.Bool().Draw(t, "passes") {
		e.Files = rapid.SliceOfN(rapid.Uint32Range(1, MaxFiles), 1, MaxFiles).Draw(t, "files")
	}
	(&Message{Exec: e}).normalize()
	if rapid.Bool().Draw(t, "drains") {
		drain := genCount(t)
		e.Drain = &drain
	}
	if rapid.Bool().Draw(t, "terminal") {
		e.Term = genTerm(t)
	}
	return e
}

func genTerm(t *rapid.T) *Term {
	term := &Term{
		Name: rapid.StringN(0, -1, MaxTermName).Draw(t, "term"),
		Rows: rapid.Uint16().Draw(t, "rows"), Cols: rapid.Uint16().Draw(t, "cols"),
	}
	if rapid.Bool().Draw(t, "modes") {
		mode := rapid.StringMatching(`[a-z0-9]{1,32}`)
		term.Modes = rapid.MapOfN(mode, rapid.Uint32(), 0, 20).Draw(t, "modes")
	}
	return term
}

func genSignal(t *rapid.T, must bool) *SignalInfo {
	if !must && rapid.Bool().Draw(t, "no signal") {
		return nil
	}
	return &SignalInfo{Number: rapid.Uint64Range(1, 127).Draw(t, "number"), Name: genSignalName(t, 0)}
}

func genEnded(t *rapid.T) *Ended {
	e := &Ended{
		How:  rapid.SampledFrom([]How{HowExited, HowSignaled, HowTimeout, HowKilled, HowLost}).Draw(t, "how"),
		Code: genCode(t), Core: rapid.Bool().Draw(t, "core"),
		StdinBytes: genCount(t), StdoutBytes: genCount(t), StderrBytes: genCount(t),
		UserTime: genCount(t), SystemTime: genCount(t), MaxRSS: genCount(t), StartedAt: genCount(t), EndedAt: genCount(t),
		Output: rapid.SampledFrom([]Output{OutputComplete, OutputAbandoned}).Draw(t, "output"),
	}
	if e.How != HowExited {
		e.Signal = genSignal(t, e.How == HowSignaled)
	}
	return e
}

func genRefused(t *rapid.T) *Refused {
	return &Refused{ID: genID(t), Code: Code(genName(t)), Message: genText(t)}
}
