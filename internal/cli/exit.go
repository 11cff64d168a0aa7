package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/rexec/rex/internal/transport"
	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
)

// The exit status is the command's own, 0 to 255, and otherwise:
//
//	128+n  signal n ended the command, by the number it has at the server
//	124    --timeout ended it
//	126    the daemon found it but cannot execute it
//	127    the daemon did not find it
//	255    rex itself failed; it said why, and --status-file tells it from a
//	       command's own 255
const (
	statusTimeout = 124
	statusSignal  = 128
)

// An outcome is how a run of rex ends.
type outcome struct {
	status  int
	record  *session.Record // the command's end record, if it came
	failure *failure        // rex's own, nil if there is none
	passed  bool            // it had our own files, and nothing was counted
	raise   os.Signal       // end by this signal, so that the caller's shell sees it; nil is to exit
}

func failed(f *failure) outcome { return outcome{status: f.status, failure: f} }

// commandOutcome is the outcome of a command of which everything arrived.
func commandOutcome(state *session.ProcessState) outcome {
	record := state.Record()
	out := outcome{status: int(record.Code), record: &record}
	switch {
	case record.How == proto.HowTimeout:
		out.status = statusTimeout
	case record.How == proto.HowLost:
		out.status = statusOwn
		out.failure = fail(howLost, "the daemon lost sight of the command, its end is unknown").
			withHint("look for process %d at the host", state.Pid())
	case record.Signal != nil:
		out.status = statusSignal + int(record.Signal.Number)
	case record.How == proto.HowKilled && record.Code == 0:
		out.status = statusOwn // it was ended before its work was done, whatever it says
	}
	return out
}

// judge turns what Start or Wait returned into an outcome. The command's
// status counts only when everything arrived; ErrWaitDelay is the daemon's
// --drain having run out, which the status survives.
func (r *runner) judge(err error) outcome {
	if lost := r.out.failure(); lost != nil {
		return r.unwritten(lost)
	}
	if r.cmd.ProcessState != nil && complete(err) {
		out := commandOutcome(r.cmd.ProcessState)
		out.passed = r.link.socket != ""
		r.remark(out.record)
		return out
	}
	out := failed(r.explain(err))
	out.record = r.record()
	return out
}

// record is the daemon's, nil if it did not come.
func (r *runner) record() *session.Record {
	if r.cmd == nil || r.cmd.ProcessState == nil {
		return nil
	}
	record := r.cmd.ProcessState.Record()
	return &record
}

// unwritten is the outcome when output could not be put where the user wanted
// it: never the command's own status.
func (r *runner) unwritten(err error) outcome {
	f := fail("", "%s", plain(err))
	f.hint = "the command's output is incomplete; look for space and permission there: df -h . && ls -ld ."
	out := failed(f)
	out.record = r.record()
	return out
}

// remark warns about what the status does not tell.
func (r *runner) remark(record *session.Record) {
	switch {
	case record.How == proto.HowTimeout && r.inv.timeout > 0:
		r.ui.warnf("the command was ended after --timeout %v", r.inv.timeout)
	case record.How == proto.HowTimeout:
		r.ui.warnf("the daemon ended the command, whose time was up")
	case record.How == proto.HowKilled:
		r.ui.warnf("the daemon ended the command")
	}
	if record.Output == proto.OutputAbandoned {
		r.ui.warnf("something that the command left behind still holds its output; --drain gave it up")
	}
	if r.link.socket != "" {
		r.ui.debugf("%s, code %d", record.How, record.Code)
		return
	}
	r.ui.debugf("%s, code %d, stdin %d, stdout %d, stderr %d bytes", record.How, record.Code,
		record.StdinBytes, record.StdoutBytes, record.StderrBytes)
}

// complete reports whether err says nothing worse than what the record says.
// That an output's reader was gone is between it and the command.
func complete(err error) bool {
	if errors.Is(err, session.ErrTruncated) || errors.Is(err, session.ErrConnLost) {
		return false
	}
	_, ended := errors.AsType[*session.ExitError](err)
	return err == nil || ended || errors.Is(err, session.ErrWaitDelay) || isBrokenPipe(err)
}

// explain says why there is no status, and what to do.
func (r *runner) explain(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if refused, ok := errors.AsType[*session.Error](err); ok {
		return r.explainRefusal(refused)
	}
	if f := r.explainLate(err); f != nil {
		return f
	}
	if missing, ok := errors.AsType[*session.ExitMissingError](err); ok {
		return r.explainLoss(missing)
	}
	switch {
	case errors.Is(err, session.ErrTruncated):
		return fail(howLost, "%s", plain(err)).withHint("run it again: what arrived is not all there was")
	case errors.Is(err, session.ErrConnLost):
		return r.explainNoStart(err)
	case errors.Is(err, errConnectTimeout):
		return r.explainTimeout()
	case r.link.socket != "" && !r.isStarted():
		return r.explainUnix(r.link.socket, err)
	}
	if r.isStarted() {
		return fail(howLost, "%s", plain(err)).withHint("%s", r.lookThere())
	}
	return fail(howLost, "%s", plain(err)).withHint("%s", r.again("-v"))
}

func (r *runner) explainTimeout() *failure {
	longer := fmt.Sprintf("ConnectTimeout=%d", 4*max(1, int(r.inv.connectTimeout.value.Seconds())))
	return fail(howLost, "no answer from %s within %v", r.inv.target.text, r.inv.connectTimeout.value).
		withHint("%s", r.again("-o", longer))
}

// lookThere is what to do instead of running a command again whose end is
// unknown.
func (r *runner) lookThere() string {
	if r.isStarted() {
		return "to see whether it still runs: " + r.inv.instead("ps", "-fp", strconv.Itoa(r.cmd.Pid()))
	}
	return "to see whether it runs, before it is started again: " + r.inv.instead("ps", "-ef")
}

// unanswered is said of a program that ended before it was a daemon, whether rex
// had sent it a command by then or not.
const unanswered = "no daemon has answered"

// explainNoStart says why there was no connection any more when the command
// was to be started.
func (r *runner) explainNoStart(err error) *failure {
	known := "the command was not started"
	if r.link.silent() {
		known = unanswered
	}
	f := fail(howLogin, "connection lost%s: %s", r.whyLost(err), known).withHint("%s", r.again("-v"))
	if r.link.hint != "" {
		f.hint = r.link.hint
	}
	return f
}

// explainLoss says what is known of a command whose end record did not come.
func (r *runner) explainLoss(missing *session.ExitMissingError) *failure {
	f := fail(howLost, "%s", plain(missing))
	silent := errors.Is(missing, session.ErrConnLost) && !missing.Started && r.link.silent()
	switch {
	case silent:
		f.msg = "connection lost" + r.whyLost(missing.Cause) + ": " + unanswered
	case errors.Is(missing, session.ErrConnLost):
		f.msg = "connection lost" + r.whyLost(missing.Cause) + ": " + known(missing)
	}
	switch {
	case r.link.hint != "" && !missing.Started:
		f.hint = r.link.hint
	case silent:
		f.hint = r.again("-v")
	case r.inv.orphan == session.OrphanKeep && missing.Started:
		f.hint = r.fate()
	default:
		f.hint = r.lookThere()
	}
	return f
}

// whyLost says why a connection was lost: that the program behind it has ended,
// or what is known beyond that it is no more.
func (r *runner) whyLost(err error) string {
	if why := r.link.whyEnded(); why != "" {
		return ", " + why
	}
	if err == nil {
		return ""
	}
	r.ui.debugf("%s", plain(err))
	if unjudged, ok := errors.AsType[*transport.HandshakeError](err); ok {
		return ", " + unjudged.Reason
	}
	if silent, ok := errors.AsType[*transport.SilentPeerError](err); ok {
		return ", " + silent.Error()
	}
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case slices.ContainsFunc([]error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, wsaAborted, wsaReset}, is):
		return ", the other end is gone"
	case slices.ContainsFunc([]error{syscall.ETIMEDOUT, wsaTimedOut}, is):
		return ", the other end is silent"
	}
	return ""
}

// What Windows calls the loss of a connection; no other system has these.
const (
	wsaAborted  = syscall.Errno(10053)
	wsaReset    = syscall.Errno(10054)
	wsaTimedOut = syscall.Errno(10060)
)

// known is what is known of the command.
func known(missing *session.ExitMissingError) string {
	switch e := missing.Exited; {
	case e != nil && e.Signal != nil:
		return fmt.Sprintf("the command was killed by signal %s, but its end record is missing", e.Signal.Name)
	case e != nil:
		return fmt.Sprintf("the command exited with status %d, but its end record is missing", e.Code)
	case missing.Started:
		return "the command was running, its end is unknown"
	}
	return "it is unknown whether the command was started"
}

// explainRefusal says why the daemon did not start the command. Its message is
// the peer's, and is escaped where it is shown.
func (r *runner) explainRefusal(refused *session.Error) *failure {
	f := fail(howRefused, "%v", refused.Code)
	switch {
	case refused.Message != "" && refused.Message != f.msg:
		f.msg += ": " + refused.Message
	case refused.Name != "":
		f.msg += ": " + strconv.Quote(refused.Name)
	}
	f.status = refused.Code.ExitStatus()
	f.hint = r.refusalHint(refused.Code)
	if refused.Code == proto.CodePermissionDenied && r.pty {
		f.hint = r.again("-T")
	}
	return f
}

// refusalHint is what to type after a refusal.
func (r *runner) refusalHint(code proto.Code) string {
	name := ""
	if len(r.inv.words) > 0 {
		name = r.inv.words[0]
	}
	if r.inv.kind() == sessionSubsystem {
		if hint := r.serviceHint(code); hint != "" {
			return hint
		}
	}
	switch code {
	case proto.CodeNoSubsystem:
		return hintServices
	case proto.CodeNotFound:
		return "rex exec starts programs without a shell; to look for it: " + r.inv.instead("command", "-v", name)
	case proto.CodeNotExecutable, proto.CodeIsDirectory:
		return r.inv.instead("ls", "-ld", name)
	case proto.CodeTooBig:
		return "send data on stdin, not as arguments: " + r.inv.instead("command") + " <file"
	case proto.CodeNoDirectory:
		return "--dir is relative to the home directory: " + r.inv.without("--dir").instead("ls", "-ld", r.inv.dir)
	case proto.CodeBusy:
		return "too many commands run on this session; try again later: " + r.again()
	case proto.CodeShuttingDown, proto.CodeStartTimeout:
		return "try again: " + r.again()
	case proto.CodeNoShell, proto.CodeUnknownUser:
		return fmt.Sprintf("look at the account: getent passwd %s", shellQuote(r.inv.user.value))
	case proto.CodeNoHandler:
		return "this daemon runs no commands; see rexd --check at the host"
	default:
		return "the daemon's log says more: " + r.again("-v")
	}
}

const hintServices = "the services are in rexd.toml at the host, where this lists them: rexd --check"

// serviceHint is what to type after the refusal of a service, empty if it is as
// with any command.
func (r *runner) serviceHint(code proto.Code) string {
	switch code {
	case proto.CodeNotFound, proto.CodeNotExecutable, proto.CodeIsDirectory, proto.CodeTooBig, proto.CodeNoDirectory:
		return "that is for whoever runs rexd at the host to mend, in rexd.toml"
	case proto.CodePermissionDenied:
		return "who may run it is said in rexd.toml at the host: allow_users, allow_groups"
	case proto.CodeBusy:
		return "as many run already as the host allows; try again later: " + r.again()
	default:
		return ""
	}
}

// plain is an error's text without the names of packages in front.
func plain(err error) string {
	text := err.Error()
	for _, name := range []string{"session: ", "transport: ", "mux: ", "proto: ", "auth: "} {
		text = strings.ReplaceAll(text, name, "")
	}
	return text
}

// signalStatus is the status of rex when it ends by a signal of its own.
func signalStatus(sig os.Signal) int {
	if number, ok := sig.(syscall.Signal); ok {
		return statusSignal + int(number)
	}
	return statusOwn
}
