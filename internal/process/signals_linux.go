package process

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The range that programs know as SIGRTMIN to SIGRTMAX: the C library keeps 32
// and 33 for itself.
const (
	realtimeMin = 34
	realtimeMax = 64
)

// withEmptyMask runs start with no signal blocked. A child inherits the mask
// of the thread that starts it, and a thread may have that of whoever started
// this program.
func withEmptyMask(start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var empty, old unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &empty, &old); err != nil {
		return err
	}
	err := start()
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil) // fails only for bad arguments
	return err
}

// catchIgnored makes this process catch, and forget, the signals that it was
// started with as ignored (nohup, a shell's background job). Ignored signals stay so
// across execve(2); caught ones are reset to their defaults. For this process
// the effect is the same. The function it returns undoes it.
func catchIgnored() (undo func(), err error) {
	ignored, err := ignoredSignals()
	if err != nil || len(ignored) == 0 {
		return func() {}, err
	}
	sink := make(chan os.Signal, 1)
	signal.Notify(sink, ignored...)
	return func() { signal.Stop(sink) }, nil
}

func ignoredSignals() ([]os.Signal, error) {
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return nil, err
	}
	mask, err := signalMask(string(status), "SigIgn")
	if err != nil {
		return nil, err
	}
	var list []os.Signal
	for sig := 1; sig <= realtimeMax; sig++ {
		if mask&(1<<(sig-1)) != 0 {
			list = append(list, syscall.Signal(sig))
		}
	}
	return list, nil
}

// signalMask reads one of the masks in a status file (proc_pid_status(5)).
func signalMask(status, field string) (uint64, error) {
	for line := range strings.Lines(status) {
		if hex, ok := strings.CutPrefix(line, field+":"); ok {
			return strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		}
	}
	return 0, fmt.Errorf("no %s in the status file", field)
}
