package proto

import "math"

// This file is PROTOCOL.md sections 7 and 8 as tables: which kinds of messages
// there are, which fields each has, and what a field may hold. shape.go checks
// frames against it; a test checks that the Go structs agree with it.

// A fieldType is the CBOR type that a field has on the wire.
type fieldType uint8

const (
	typeUint      fieldType = iota // unsigned integer
	typeBool                       // false or true
	typeText                       // text string
	typeBytes                      // byte string
	typeTexts                      // array of text strings
	typeBytesList                  // array of byte strings
	typeUints                      // array of unsigned integers
	typeModes                      // map of text strings to unsigned integers
	typeMap                        // map with fields of its own
)

// A field is one pair of a map.
type field struct {
	name     string
	typ      fieldType
	required bool
	// min and max bound an integer, or the bytes of a string, of each element
	// of an array and of each key of a map.
	min, max uint64
	count    uint64            // most elements of an array, or pairs of a map
	oneOf    []string          // the texts allowed, if not all
	chars    func(c byte) bool // the characters allowed, if not all
	fields   []field           // of typeMap
}

// A kind is one kind of message.
type kind struct {
	name   string
	frame  int // most bytes of its frame
	fields []field
}

const (
	// maxInt is the largest integer where nothing else is said, so that
	// counters and durations fit the signed integers of every language.
	maxInt = math.MaxInt64
	// maxBytes leaves the length of a string to what bounds the whole frame or,
	// in an exec, to Exec.Check: those refuse the command, not the session.
	maxBytes = MaxExecFrame
)

var kinds = []kind{
	{"hello", MaxFrame, []field{
		{name: "version", typ: typeUint, required: true, min: 1, max: math.MaxUint32},
		{name: "software", typ: typeText, required: true, max: MaxText},
		{name: "caps", typ: typeTexts, required: true, min: 1, max: MaxName, count: MaxCaps, chars: isNameChar},
		{name: "max_commands", typ: typeUint, required: true, max: math.MaxUint32},
		{name: "max_frame", typ: typeUint, required: true, max: math.MaxUint32},
	}},
	{"exec", MaxExecFrame, []field{
		{name: "id", typ: typeUint, required: true, min: 1, max: maxInt},
		{name: "argv", typ: typeBytesList, max: maxBytes, count: MaxEntries},
		{name: "path", typ: typeBytes, max: maxBytes},
		{name: "line", typ: typeBytes, max: maxBytes},
		{name: "subsystem", typ: typeBytes, max: maxBytes},
		{name: "env", typ: typeBytesList, max: maxBytes, count: MaxEntries},
		{name: "dir", typ: typeBytes, max: maxBytes},
		{name: "term", typ: typeMap, fields: termFields},
		{name: "stdin", typ: typeUint, max: math.MaxUint32},
		{name: "stdout", typ: typeUint, max: math.MaxUint32},
		{name: "stderr", typ: typeUint, max: math.MaxUint32},
		{name: "status", typ: typeUint, max: math.MaxUint32},
		{name: "files", typ: typeUints, min: 1, max: MaxFiles, count: MaxFiles},
		{name: "drain", typ: typeUint, max: maxInt},
		{name: "orphan", typ: typeText, max: MaxWord, oneOf: []string{string(OrphanKill), string(OrphanKeep)}},
		{name: "timeout", typ: typeUint, max: maxInt},
	}},
	{"signal", MaxFrame, []field{
		{name: "id", typ: typeUint, required: true, min: 1, max: maxInt},
		{name: "name", typ: typeText, required: true, min: 1, max: MaxWord, chars: isSignalChar},
		{name: "to", typ: typeText, max: MaxWord, oneOf: []string{string(ToProcess), string(ToGroup), string(ToTree)}},
	}},
	{"resize", MaxFrame, []field{
		{name: "id", typ: typeUint, required: true, min: 1, max: maxInt},
		{name: "rows", typ: typeUint, required: true, max: math.MaxUint16},
		{name: "cols", typ: typeUint, required: true, max: math.MaxUint16},
	}},
	{"started", MaxFrame, []field{
		{name: "pid", typ: typeUint, required: true, max: math.MaxInt32},
		{name: "dropped_env", typ: typeBytesList, max: MaxDroppedBytes, count: MaxDroppedBytes / EntryCost},
	}},
	{"exited", MaxFrame, []field{
		{name: "code", typ: typeUint, required: true, max: math.MaxUint8},
		{name: "signal", typ: typeMap, fields: signalInfoFields},
	}},
	{"ended", MaxFrame, []field{
		{name: "how", typ: typeText, required: true, max: MaxWord, oneOf: []string{
			string(HowExited), string(HowSignaled), string(HowTimeout), string(HowKilled), string(HowLost),
		}},
		{name: "code", typ: typeUint, required: true, max: math.MaxUint8},
		{name: "signal", typ: typeMap, fields: signalInfoFields},
		{name: "core", typ: typeBool},
		{name: "stdin_bytes", typ: typeUint, max: maxInt},
		{name: "stdout_bytes", typ: typeUint, max: maxInt},
		{name: "stderr_bytes", typ: typeUint, max: maxInt},
		{name: "user_time", typ: typeUint, required: true, max: maxInt},
		{name: "system_time", typ: typeUint, required: true, max: maxInt},
		{name: "max_rss", typ: typeUint, required: true, max: maxInt},
		{name: "started_at", typ: typeUint, required: true, max: maxInt},
		{name: "ended_at", typ: typeUint, required: true, max: maxInt},
		{name: "output", typ: typeText, required: true, max: MaxWord, oneOf: []string{
			string(OutputComplete), string(OutputAbandoned),
		}},
	}},
	{"refused", MaxFrame, []field{
		{name: "id", typ: typeUint, required: true, min: 1, max: maxInt},
		{name: "code", typ: typeText, required: true, min: 1, max: MaxName, chars: isNameChar},
		{name: "message", typ: typeText, max: MaxText},
	}},
	{"draining", MaxFrame, nil},
	{"bye", MaxFrame, nil},
}

var termFields = []field{
	{name: "name", typ: typeText, required: true, max: MaxTermName},
	{name: "rows", typ: typeUint, required: true, max: math.MaxUint16},
	{name: "cols", typ: typeUint, required: true, max: math.MaxUint16},
	{name: "modes", typ: typeModes, min: 1, max: MaxWord, count: MaxModes, chars: isNameChar},
}

var signalInfoFields = []field{
	{name: "number", typ: typeUint, required: true, min: 1, max: 127},
	{name: "name", typ: typeText, required: true, max: MaxWord, chars: isSignalChar},
}

// isNameChar reports whether c may be in the name of a capability, a code or a
// terminal mode. Such names need no escaping anywhere.
func isNameChar(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '.'
}

// isSignalChar reports whether c may be in the name of a signal.
func isSignalChar(c byte) bool {
	return 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '-'
}

func kindNamed(name string) *kind {
	for i := range kinds {
		if kinds[i].name == name {
			return &kinds[i]
		}
	}
	return nil
}
