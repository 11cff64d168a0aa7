//go:build unix

package cli

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What is no regular file is written, never replaced.
func TestStatusFileFIFO(t *testing.T) {
	name := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Skip(err)
	}
	line := make(chan string, 1)
	go func() {
		f, err := os.Open(name)
		if err != nil {
			line <- err.Error()
			return
		}
		defer f.Close()
		got, _ := bufio.NewReader(f).ReadString('\n')
		line <- got
	}()
	s, err := openStatusFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.write(&statusRecord{How: "exited"}); err != nil {
		t.Fatal(err)
	}
	if got := <-line; !strings.Contains(got, `"how":"exited"`) {
		t.Errorf("%q", got)
	}
	if info, err := os.Lstat(name); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("replaced: %v %v", info, err)
	}
}

func TestStatusFileDevice(t *testing.T) {
	s, err := openStatusFile("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.write(&statusRecord{}); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat("/dev/null"); err != nil || info.Mode()&os.ModeDevice == 0 {
		t.Fatalf("replaced: %v %v", info, err)
	}
}
