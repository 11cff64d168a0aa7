package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

func TestStatusRecord(t *testing.T) {
	record := &session.Record{
		How: proto.HowSignaled, Signal: &proto.SignalInfo{Number: 9, Name: "KILL"}, Core: true, StdinBytes: 1, StdoutBytes: 2, StderrBytes: 3,
		UserTime: 4, SystemTime: 5, MaxRSS: 6, StartedAt: 7, EndedAt: 8, Output: proto.OutputComplete,
	}
	for _, c := range []struct {
		name string
		out  outcome
		want string
	}{
		{
			"signal",
			outcome{status: 137, record: record},
			`{"exit":137,"host":"h","how":"signaled","code":0,"signal":{"number":9,"name":"KILL"},"core":true,"stdin_bytes":1,"stdout_bytes":2,` +
				`"stderr_bytes":3,"user_time":4,"system_time":5,"max_rss":6,"started_at":7,"ended_at":8,"output":"complete"}`,
		},
		{"login", failed(fail(howLogin, "no \"daemon\"")), `{"exit":255,"host":"h","how":"login","error":"no \"daemon\""}`},
		{
			"not written",
			outcome{status: 255, record: record, failure: fail("", "no space")},
			`{"exit":255,"host":"h","how":"signaled","error":"no space","code":0,"signal":{"number":9,"name":"KILL"},"core":true,"stdin_bytes":1,` +
				`"stdout_bytes":2,"stderr_bytes":3,"user_time":4,"system_time":5,"max_rss":6,"started_at":7,"ended_at":8,"output":"complete"}`,
		},
		{"given up", outcome{status: 130}, `{"exit":130,"host":"h","how":"lost"}`},
	} {
		got, err := json.Marshal(newStatusRecord("h", c.out))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %v\n got %s\nwant %s", c.name, err, got, c.want)
		}
	}
}

// The status record has a member for every field of the daemon's, so that none
// is forgotten when one is added.
func TestStatusRecordIsComplete(t *testing.T) {
	line, err := json.Marshal(newStatusRecord("h", outcome{record: &session.Record{}}))
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(line, &members); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"how", "code", "signal", "core", "stdin_bytes", "stdout_bytes", "stderr_bytes", "user_time", "system_time", "max_rss",
		"started_at", "ended_at", "output", "exit", "host",
	} {
		if _, ok := members[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func TestStatusFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "status")
	if err := os.WriteFile(name, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := openStatusFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(name); err == nil {
		t.Error("the file of an earlier run is still there")
	}
	if err := s.write(&statusRecord{How: "exited", Host: "h"}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(name)
	if want := `{"exit":0,"host":"h","how":"exited"}` + "\n"; err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
	if diff := cmp.Diff([]string{"status"}, entries(t, dir)); diff != "" {
		t.Errorf("left in the directory: %s", diff)
	}
	if info, _ := os.Stat(name); info.Mode().Perm()&0o044 == 0 && os.Getuid() == 0 {
		t.Logf("mode %v", info.Mode())
	}
}

func TestStatusFileNowhere(t *testing.T) {
	s, err := openStatusFile("")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.write(&statusRecord{}); err != nil {
		t.Error(err)
	}
}

func TestStatusFileErrors(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{dir, filepath.Join(dir, "no", "such"), filepath.Join(dir, strings.Repeat("x", 300))} {
		if _, err := openStatusFile(name); err == nil || !strings.Contains(err.Error(), filepath.Base(name)) ||
			strings.Contains(err.Error(), string(filepath.Separator)+".") { // the temporary file
			t.Errorf("%s: %v", name, err)
		}
	}
	s, err := openStatusFile(filepath.Join(dir, "status"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.name, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.write(&statusRecord{}); err == nil {
		t.Error("renamed over a directory")
	}
	if diff := cmp.Diff([]string{"status"}, entries(t, dir)); diff != "" {
		t.Errorf("left in the directory: %s", diff)
	}
}

// A link leads to the file that is replaced.
func TestStatusFileLink(t *testing.T) {
	dir := t.TempDir()
	link, file := filepath.Join(dir, "link"), filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", link); err != nil {
		t.Skip(err)
	}
	s, err := openStatusFile(link)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.write(&statusRecord{How: "exited"}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || !strings.Contains(string(got), "exited") {
		t.Errorf("%q, %v", got, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v", err)
	}
}
