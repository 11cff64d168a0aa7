//go:build linux || darwin || freebsd

package daemon

import (
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
)

// logUsage logs what this process holds, after it gave back what it can. An
// operator asks for it with SIGUSR1 to see whether something leaks.
func logUsage(log *slog.Logger) {
	debug.FreeOSMemory()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	attrs := []any{
		"heap_inuse", mem.HeapInuse, "stack_inuse", mem.StackInuse, "sys", mem.Sys,
		"goroutines", runtime.NumGoroutine(),
	}
	if fds, err := os.ReadDir("/dev/fd"); err == nil {
		attrs = append(attrs, "descriptors", len(fds))
	}
	log.Info("usage", attrs...)
}
