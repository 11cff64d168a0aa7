//go:build unix

package process

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Other names for some signals, from signal(7).
var signalAliases = map[string]string{"IOT": "ABRT", "CLD": "CHLD", "POLL": "IO"}

// signalNumber returns the number of a signal name without SIG.
func signalNumber(name string) (syscall.Signal, error) {
	if n, ok := realtimeNumber(name); ok {
		return n, nil
	}
	if alias, ok := signalAliases[name]; ok {
		name = alias
	}
	if n := unix.SignalNum("SIG" + name); n != 0 {
		return n, nil
	}
	return 0, fmt.Errorf("%w: %q", ErrUnknownSignal, name)
}

// signalName is the inverse of signalNumber; a signal without a name gives its number.
func signalName(sig syscall.Signal) string {
	if name, ok := strings.CutPrefix(unix.SignalName(sig), "SIG"); ok {
		return name
	}
	switch n := int(sig); {
	case n >= realtimeMin && n <= realtimeMax && n != realtimeMin:
		return "RTMIN+" + strconv.Itoa(n-realtimeMin)
	case n == realtimeMin && realtimeMin > 0:
		return "RTMIN"
	default:
		return strconv.Itoa(n)
	}
}

// realtimeNumber parses RTMIN, RTMIN+n, RTMAX and RTMAX-n.
func realtimeNumber(name string) (syscall.Signal, bool) {
	base, sign := realtimeMin, 1
	rest, ok := strings.CutPrefix(name, "RTMIN")
	if !ok {
		base, sign = realtimeMax, -1
		if rest, ok = strings.CutPrefix(name, "RTMAX"); !ok {
			return 0, false
		}
	}
	offset := 0
	if rest != "" {
		n, err := strconv.ParseUint(rest[1:], 10, 8)
		if err != nil || (rest[0] == '+') != (sign > 0) || (rest[0] != '+' && rest[0] != '-') {
			return 0, false
		}
		offset = int(n)
	}
	sig := base + sign*offset
	return syscall.Signal(sig), sig >= max(realtimeMin, 1) && sig <= realtimeMax
}
