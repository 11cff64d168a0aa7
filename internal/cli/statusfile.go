package cli

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/rexec/rex/proto"
)

// statusRecord is the JSON object that --status-file writes: one line, always
// with exit, host and how. Without a record of the daemon, which is when rex
// itself failed, the members from signal on are missing.
//
// A file that is there when rex ends belongs to this run: an older one is
// removed before anything is started.
type statusRecord struct {
	// Exit is rex's exit status. It is 128+n for a signal, 124 for a timeout.
	Exit int `json:"exit"`
	// Host is the host as it was typed.
	Host string `json:"host"`
	// How is exited, signaled, timeout, killed or lost from the daemon, or
	// usage, login, refused or lost when rex itself failed: usage, login and
	// refused say that nothing was started.
	How string `json:"how"`
	// Error is what rex said, empty if it said nothing.
	Error string `json:"error,omitempty"`

	*endRecord
}

// endRecord is the daemon's end record. Times are in nanoseconds, those of the
// clock since 1970.
type endRecord struct {
	Code        uint64        `json:"code"`
	Signal      *signalRecord `json:"signal"` // null if no signal ended it
	Core        bool          `json:"core"`
	*byteCounts               // missing where the command had rex's own files
	UserTime    uint64        `json:"user_time"`
	SystemTime  uint64        `json:"system_time"`
	MaxRSS      uint64        `json:"max_rss"` // bytes
	StartedAt   uint64        `json:"started_at"`
	EndedAt     uint64        `json:"ended_at"`
	Output      proto.Output  `json:"output"` // complete, or abandoned by --drain
}

type byteCounts struct {
	StdinBytes  uint64 `json:"stdin_bytes"`
	StdoutBytes uint64 `json:"stdout_bytes"`
	StderrBytes uint64 `json:"stderr_bytes"`
}

type signalRecord struct {
	Number uint64 `json:"number"`
	Name   string `json:"name"` // without SIG
}

func newStatusRecord(host string, out outcome) *statusRecord {
	s := &statusRecord{Exit: out.status, Host: host, How: howLost}
	if r := out.record; r != nil {
		s.How = string(r.How)
		s.endRecord = &endRecord{
			Code: r.Code, Core: r.Core,
			UserTime: r.UserTime, SystemTime: r.SystemTime, MaxRSS: r.MaxRSS, StartedAt: r.StartedAt, EndedAt: r.EndedAt,
			Output: r.Output,
		}
		if !out.passed {
			s.byteCounts = &byteCounts{r.StdinBytes, r.StdoutBytes, r.StderrBytes}
		}
		if r.Signal != nil {
			s.Signal = &signalRecord{r.Signal.Number, r.Signal.Name}
		}
	}
	if f := out.failure; f != nil {
		s.Error = f.msg
		if f.how != "" {
			s.How = f.how
		}
	}
	return s
}

// A statusFile is where the outcome goes. The zero value is nowhere.
type statusFile struct {
	name string
	temp *os.File // beside name, renamed when it is complete; nil to write to name itself
}

// openStatusFile makes sure, before anything is started, that the outcome can
// be written. What is no regular file, such as a FIFO, is written directly.
func openStatusFile(name string) (*statusFile, error) {
	if name == "" {
		return &statusFile{}, nil
	}
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real
	}
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		if info.IsDir() {
			return nil, fmt.Errorf("%s is a directory", name)
		}
		return &statusFile{name: name}, nil
	}
	temp, err := createBeside(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, cause(err)) // not the name that the user did not give
	}
	_ = os.Remove(name)
	return &statusFile{name: name, temp: temp}, nil
}

// createBeside makes a file with the permissions of a new one, which those of
// os.CreateTemp are not.
func createBeside(name string) (*os.File, error) {
	temp := filepath.Join(filepath.Dir(name), fmt.Sprintf(".%s.%08x", filepath.Base(name), rand.Uint32()))
	return os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}

// write puts the outcome in place, whole or not at all.
func (s *statusFile) write(record *statusRecord) error {
	if s.name == "" {
		return nil
	}
	line, err := json.Marshal(record)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if s.temp == nil {
		return appendTo(s.name, line)
	}
	_, err = s.temp.Write(line)
	if cerr := s.temp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(s.temp.Name(), s.name)
	}
	if err != nil {
		_ = os.Remove(s.temp.Name())
	}
	return err
}

func appendTo(name string, line []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(line)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
