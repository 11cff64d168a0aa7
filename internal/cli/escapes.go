package cli

// escapeAction is what an escape sequence asks for.
type escapeAction int

const (
	escapeNone       escapeAction = iota
	escapeDisconnect              // ~.
	escapeSuspend                 // ~^Z
	escapeHelp                    // ~?
)

// escapes finds escape sequences among typed characters: the key after the
// start of a line, and one more. It is a machine of three states:
//
//	         newline            key              . ^Z ?
//	inLine ----------> start ----------> keyed ----------> start, with an action
//	  ^                  |                 |
//	  +------------------+-----------------+ any other: sent, the key with it
//	                                         unless it is the key again
//
// The zero value with a key begins at the start of a line. Without a key
// nothing is an escape.
type escapes struct {
	key   escapeKey
	state escapeState
}

type escapeState int

const (
	escapeStart  escapeState = iota // at the start of a line
	escapeInLine                    // within one
	escapeKeyed                     // the key was typed at the start of a line and is held back
)

// feed takes typed characters up to the end of the first escape sequence that
// asks for something. It appends what goes to the command to dst, and returns
// that, the action, and the characters it has not taken.
func (e *escapes) feed(dst, typed []byte) (send []byte, action escapeAction, rest []byte) {
	for i, c := range typed {
		if e.state == escapeKeyed {
			e.state = escapeStart
			if action := escapeCommand(c); action != escapeNone {
				return dst, action, typed[i+1:]
			}
			if c != byte(e.key) {
				dst = append(dst, byte(e.key))
			}
		} else if e.state == escapeStart && e.key != 0 && c == byte(e.key) {
			e.state = escapeKeyed
			continue
		}
		dst = append(dst, c)
		e.state = escapeInLine
		if c == '\r' || c == '\n' {
			e.state = escapeStart
		}
	}
	return dst, escapeNone, nil
}

func escapeCommand(c byte) escapeAction {
	switch c {
	case '.':
		return escapeDisconnect
	case 'Z' & 0x1f:
		return escapeSuspend
	case '?':
		return escapeHelp
	}
	return escapeNone
}

// escapeText is what the help action shows.
func (e *escapes) escapeText() string {
	key := escape(string(rune(e.key)))
	if e.key < ' ' {
		key = "^" + string(rune(e.key|'@'))
	}
	return "\nescape sequences, at the start of a line:\n" +
		"  " + key + ".   disconnect; the daemon ends the command, or keeps it with --orphan keep\n" +
		"  " + key + "^Z  suspend rex\n" +
		"  " + key + "?   this list\n" +
		"  " + key + key + "   the key itself\n"
}
