package cli

import (
	"os"
	"os/signal"
)

// endSignals are the signals that rex passes on, and what they mean.
func endSignals() map[os.Signal]event { return map[os.Signal]event{os.Interrupt: eventInterrupt} }

// watchSignals delivers the signals of endSignals until stop is called.
func watchSignals() (signals <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 8)
	signal.Notify(c, os.Interrupt)
	return c, func() { signal.Stop(c) }
}

// watchTerminal delivers nothing: a console says nothing about its size.
func watchTerminal() (changes <-chan os.Signal, stop func()) { return nil, func() {} }

// survivePipes is not needed: no signal ends a program that writes to a closed
// pipe.
func survivePipes() {}

// raise does nothing: a process cannot end by a signal.
func raise(os.Signal) {}

// watchContinued delivers nothing: programs are not stopped.
func watchContinued() (continued <-chan os.Signal, stop func()) { return nil, func() {} }
