package proto

import "time"

// Version is the protocol version this package speaks, as sent in [Hello].
const Version = 1

// Limits of frames and messages (PROTOCOL.md section 10). A decoder checks each
// of them before it allocates what the peer asks for.
const (
	// MaxFrame bounds the CBOR item of every frame but exec, in bytes.
	MaxFrame = 64 << 10
	// MaxExecFrame bounds the CBOR item of an exec frame, in bytes. Every exec
	// that [Exec.Check] does not object to fits.
	MaxExecFrame = 2<<20 + 64<<10
	// MaxExecBytes bounds argv, env and line of an exec together: the bytes of
	// every string, and EntryCost for each entry of argv and env. It is Linux's
	// limit at the default stack size (execve(2), a quarter of RLIMIT_STACK).
	MaxExecBytes = 2 << 20
	// EntryCost is what each entry of argv and env adds to MaxExecBytes: its
	// pointer in the new process.
	EntryCost = 8
	// MaxString bounds one string of argv or env, and the line, in bytes:
	// MAX_ARG_STRLEN of execve(2) without its NUL.
	MaxString = 131071
	// MaxEntries bounds the number of entries of argv and of env, each. More is
	// a violation of the protocol, since it is refused before the exec's id is
	// known; [Exec.Check] refuses it as too_big before it is sent.
	MaxEntries = 131072
	// MaxPath bounds the path of the program and of the working directory, in
	// bytes: PATH_MAX without its NUL.
	MaxPath = 4095
	// MaxText bounds a text for people (message of a refusal, software), in
	// bytes. A sender cuts longer ones; [Append] does.
	MaxText = 1024
	// MaxName bounds the names of capabilities, codes and subsystems, in bytes.
	MaxName = 64
	// MaxCaps bounds the number of capabilities in a hello.
	MaxCaps = 64
	// MaxFiles bounds the descriptors that are passed to one command.
	MaxFiles = 64
	// MaxModes bounds the number of terminal modes of an exec.
	MaxModes = 128
	// MaxTermName bounds the name of a terminal type, in bytes.
	MaxTermName = 128
	// MaxWord bounds the names of signals and terminal modes, in bytes.
	MaxWord = 32
	// MaxDroppedBytes bounds dropped_env of a started: the bytes of all names,
	// and EntryCost for each. A sender leaves out what does not fit; [Append]
	// does.
	MaxDroppedBytes = 32 << 10
)

// Limits of commands (PROTOCOL.md sections 6 and 9).
const (
	// EarlyCommands is how many commands a client may have in flight (sent,
	// not yet answered) before the server's hello arrived.
	EarlyCommands = 8
	// MaxPending is how many it may have in flight afterwards: four streams
	// each stay within the 64 unclaimed streams of a session.
	MaxPending = 16
	// MaxCommands is the most commands that a session can run at once.
	MaxCommands = 240
	// CloseGrace is how long, in connected time, an end may take to close all
	// streams of a command after ended or refused.
	CloseGrace = 10 * time.Second
)
