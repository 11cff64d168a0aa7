package session

import (
	"fmt"
	"log/slog"
	"runtime/debug"
)

// contain is deferred where a server calls what one peer alone depends on: its
// login, its messages, the handler of its command. A panic there becomes an
// error, and does not end the sessions of others. The log gets the stack.
//
// In the goroutines of a command that runs nothing is contained: what they hold
// is a tree of processes, and nobody could say what is left of it. They handle
// nothing that a peer has a say in but the bytes of its streams.
func contain(log *slog.Logger, err *error) {
	if value := recover(); value != nil {
		log.Error("panic", "value", clip(fmt.Sprint(value)), "stack", string(debug.Stack()))
		*err = errInternal
	}
}
