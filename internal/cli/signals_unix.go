//go:build unix

package cli

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

// endSignals are the signals that rex passes on, and what they mean.
func endSignals() map[os.Signal]event {
	return map[os.Signal]event{
		syscall.SIGINT: eventInterrupt, syscall.SIGTERM: eventTerminate,
		syscall.SIGHUP: eventHangup, syscall.SIGQUIT: eventQuit,
	}
}

// watchSignals delivers the signals of endSignals until stop is called, but
// those that were ignored when rex was started: nohup, and shells without job
// control, mean it.
func watchSignals() (signals <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 8)
	for sig := range endSignals() {
		if !signal.Ignored(sig) {
			signal.Notify(c, sig)
		}
	}
	return c, stopper(c)
}

// watchTerminal delivers SIGWINCH and SIGCONT until stop is called: the size,
// or the mode, of the terminal may have changed.
func watchTerminal() (changes <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGWINCH, syscall.SIGCONT)
	return c, stopper(c)
}

// watchContinued delivers SIGCONT until stop is called.
func watchContinued() (continued <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGCONT)
	return c, stopper(c)
}

// stopper returns what takes the signals of c back. It does not wait for that:
// each costs two turns of a thread of its own, and rex is about to exit.
func stopper(c chan<- os.Signal) (stop func()) {
	return func() { go signal.Stop(c) } // which ends by itself
}

// survivePipes lets writes to a closed stdout or stderr fail instead of ending
// rex, up to its end: its status says how it went, also to whom nobody listens. To
// ignore SIGPIPE would do the same, and be inherited by every command.
func survivePipes() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// raise ends this process by a signal, so that a shell that waits for it knows.
// It returns if the signal does not end it.
func raise(sig os.Signal) {
	number, ok := sig.(syscall.Signal)
	if !ok {
		return
	}
	signal.Reset(sig)
	if syscall.Kill(syscall.Getpid(), number) == nil {
		time.Sleep(time.Second) // for its delivery, from which nothing returns
	}
}
