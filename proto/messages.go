package proto

// A Message is one frame of a control or status stream. On the wire it is a
// CBOR map of exactly one pair: the name of the kind and its body. In Go
// exactly one field is set.
//
// The tags here and the tables of kinds.go say the same, and a test compares
// them: a field without omitempty or omitzero is required on the wire.
type Message struct {
	Hello    *Hello    `cbor:"hello,omitempty"`
	Exec     *Exec     `cbor:"exec,omitempty"`
	Signal   *Signal   `cbor:"signal,omitempty"`
	Resize   *Resize   `cbor:"resize,omitempty"`
	Started  *Started  `cbor:"started,omitempty"`
	Exited   *Exited   `cbor:"exited,omitempty"`
	Ended    *Ended    `cbor:"ended,omitempty"`
	Refused  *Refused  `cbor:"refused,omitempty"`
	Draining *Draining `cbor:"draining,omitempty"`
	Bye      *Bye      `cbor:"bye,omitempty"`
}

// Hello is the first message of each side on the control stream (PROTOCOL.md
// section 8.1). Neither side waits for the other's.
type Hello struct {
	Version  uint64   `cbor:"version"`
	Software string   `cbor:"software"`
	Caps     []string `cbor:"caps"` // unknown names are ignored
	// MaxCommands is how many commands the sender runs at once on this
	// session: 1 to 240 from a server, 0 from a client.
	MaxCommands uint64 `cbor:"max_commands"`
	// MaxFrame is the largest frame the sender takes on the control stream, in
	// bytes. It is for information: every end takes what section 7.1 allows.
	MaxFrame uint64 `cbor:"max_frame"`
}

// Exec asks the server to run a command (client, control stream; PROTOCOL.md
// section 8.2). It names the streams, which the client opened before, by their
// yamux ids; 0 is absent. On a connection that passes descriptors it names those
// instead, by their places in the list that came with it, counted from 1.
//
// At most one of Argv, Line and Subsystem is there: an exact argument vector, a
// line for the user's login shell, or a subsystem. None is the login shell
// itself. Nil is absent; an empty one is there, and [Exec.Check] judges it.
// Names from the system are bytes, not text: they need not be UTF-8.
//
// How many a client may send is bounded by [EarlyCommands], [MaxPending] and the
// server's [Hello].
type Exec struct {
	// ID is chosen by the client, from 1, higher than that of every exec it
	// sent before on the session.
	ID        uint64   `cbor:"id"`
	Argv      [][]byte `cbor:"argv,omitzero"`
	Path      []byte   `cbor:"path,omitempty"` // the program, with Argv, where it is not argv[0]
	Line      []byte   `cbor:"line,omitzero"`
	Subsystem []byte   `cbor:"subsystem,omitzero"`
	Env       [][]byte `cbor:"env,omitzero"`  // NAME=value
	Dir       []byte   `cbor:"dir,omitempty"` // relative to the home directory
	Term      *Term    `cbor:"term,omitempty"`
	Stdin     uint32   `cbor:"stdin,omitempty"`
	Stdout    uint32   `cbor:"stdout,omitempty"`
	Stderr    uint32   `cbor:"stderr,omitempty"` // may equal Stdout: one pipe for both
	Status    uint32   `cbor:"status,omitempty"` // absent where descriptors are passed
	// Files are the descriptors that the command gets from 3 on. Only where
	// descriptors are passed.
	Files []uint32 `cbor:"files,omitempty"`
	// Drain bounds how long, in nanoseconds, the server waits for the end of
	// output after the command exited, counting only time in which nothing
	// came. Nil is for ever, as ssh does.
	Drain *uint64 `cbor:"drain,omitempty"`
	// Orphan says what happens to the command when the session ends first.
	Orphan Orphan `cbor:"orphan,omitempty"`
	// Timeout ends the command after so many nanoseconds; 0 is never.
	Timeout uint64 `cbor:"timeout,omitempty"`
}

// Orphan is the policy for a command whose session ended before it did.
type Orphan string

// The policies. The empty one is OrphanKill.
const (
	OrphanKill Orphan = "kill"
	OrphanKeep Orphan = "keep"
)

// Term asks for a pty.
type Term struct {
	Name string `cbor:"name"` // the value of TERM
	Rows uint16 `cbor:"rows"`
	Cols uint16 `cbor:"cols"`
	// Modes are terminal modes by their names in RFC 4254 section 8, in lower
	// case, such as "echo" or "verase".
	Modes map[string]uint32 `cbor:"modes,omitzero"`
}

// Target says which processes of a command a signal is for.
type Target string

// The targets. The empty one is ToGroup.
const (
	ToProcess Target = "process"
	ToGroup   Target = "group"
	ToTree    Target = "tree"
)

// Signal sends a signal to a running command (client, control stream; PROTOCOL.md
// section 8.3). Name is without SIG: "TERM", "RTMIN+3".
type Signal struct {
	ID   uint64 `cbor:"id"`
	Name string `cbor:"name"`
	To   Target `cbor:"to,omitempty"`
}

// Resize changes the size of a command's terminal (client, control stream;
// PROTOCOL.md section 8.4).
type Resize struct {
	ID   uint64 `cbor:"id"`
	Rows uint16 `cbor:"rows"`
	Cols uint16 `cbor:"cols"`
}

// Started says that the command runs (server, first on the status stream;
// PROTOCOL.md section 8.5).
type Started struct {
	PID uint64 `cbor:"pid"`
	// DroppedEnv names the variables of Env that were not passed on. [Append]
	// leaves out what exceeds MaxDroppedBytes.
	DroppedEnv Names `cbor:"dropped_env,omitzero"`
}

// SignalInfo names a signal both ways, since numbers differ between systems.
type SignalInfo struct {
	Number uint64 `cbor:"number"`
	Name   string `cbor:"name"` // without SIG; empty if the number has no name
}

// Exited says at once that the command's own process ended (server, status
// stream; PROTOCOL.md section 8.6). Output may still follow. Code means nothing
// if there is a Signal.
type Exited struct {
	Code   uint64      `cbor:"code"`
	Signal *SignalInfo `cbor:"signal,omitempty"`
}

// How says how a command ended.
type How string

// The ways a command ends.
const (
	HowExited   How = "exited"   // by itself, with Code
	HowSignaled How = "signaled" // by a signal that rexd did not send on its own account
	HowTimeout  How = "timeout"  // ended by rexd when a time that it had ran out
	HowKilled   How = "killed"   // ended by rexd for another reason: shutdown, policy, another limit
	HowLost     How = "lost"     // rexd lost sight of it
)

// Output says whether a command's output was delivered to its end.
type Output string

// The two facts. Abandoned means that rexd gave up waiting for the end of
// output because the drain time ran out.
const (
	OutputComplete  Output = "complete"
	OutputAbandoned Output = "abandoned"
)

// Ended is the end record of a command (server, last on the status stream;
// PROTOCOL.md section 8.7). Without it nothing is known of the command's end,
// and a client must not report success. Signal is there with HowSignaled and
// not with HowExited.
type Ended struct {
	How    How         `cbor:"how"`
	Code   uint64      `cbor:"code"` // 0 to 255; meaningful without Signal
	Signal *SignalInfo `cbor:"signal,omitempty"`
	Core   bool        `cbor:"core,omitempty"`
	// Bytes that the command's stdin took, and that were sent of its output.
	// Streams that the exec did not name count 0, and so does everything of a
	// command with the client's own descriptors, which nobody counts.
	StdinBytes  uint64 `cbor:"stdin_bytes,omitempty"`
	StdoutBytes uint64 `cbor:"stdout_bytes,omitempty"`
	StderrBytes uint64 `cbor:"stderr_bytes,omitempty"`
	UserTime    uint64 `cbor:"user_time"`   // ns
	SystemTime  uint64 `cbor:"system_time"` // ns
	MaxRSS      uint64 `cbor:"max_rss"`     // bytes
	StartedAt   uint64 `cbor:"started_at"`  // Unix time, ns
	EndedAt     uint64 `cbor:"ended_at"`    // Unix time, ns
	Output      Output `cbor:"output"`
}

// Refused says that a command was not started (server, on its status stream; on
// the control stream when there is no usable one; PROTOCOL.md section 8.8).
// [Append] cuts a Message that is too long and mends one that is not UTF-8.
type Refused struct {
	ID      uint64 `cbor:"id"`
	Code    Code   `cbor:"code"`
	Message string `cbor:"message,omitempty"` // for people; escape before showing
}

// Draining says that the server takes no more commands (server, control stream;
// PROTOCOL.md section 8.9). Commands that it has not answered yet are refused shutting_down.
type Draining struct{}

// Bye says that the sender has everything it wants and will close (both, last on
// the control stream; PROTOCOL.md section 8.10). Whatever the other side reads
// afterwards is normal.
type Bye struct{}
