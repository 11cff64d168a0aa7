package cli

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// TestLikeSSH compares what the grammar makes of command lines with what ssh
// itself says it makes of them.
func TestLikeSSH(t *testing.T) {
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		t.Skip("no ssh to compare with")
	}
	for _, line := range []string{
		"host", "-- host -l zz", "-p 5 -- host -l zz", "host -p 22 -l bob ls -p 23", "b@h -l a", "-l a b@h", "-o User=x -l a b@h",
		"-p 5 -p 6 h", "-p5 -oPort=6 h", "-oPort=6 -p5 h", "-t h", "-tt h", "-t -t -t h", "-T -t h", "-t -T h", "-t -o RequestTTY=no h",
		"-oRequestTTY=force -t h", "-oRequestTTY=auto h", "-o requesttty=yes h x", "-e none h", "-e ^x h", "-oEscapeChar=% h", "-e % -e & h",
		"ssh://u@h:22/", "ssh://h", "-l u ssh://v@h:22", "a@b@c", "-n h", "-oStdinNull=yes h", "-vvv -q h", "-q -v h", "-v -v h", "-oLogLevel=ERROR h",
		"-oLogLevel=ERROR -v h", "-v -oLogLevel=ERROR h", "-xT h cmd", "-MTS path h cmd", "-oHostName=10.0.0.1 h", "-o HostName=a -o HostName=b h",
		"::1", "-6 fe80::1", "h -- -t", "h -T -- -t", "-l=x h", "-oBatchMode=yes h", "-obatchmode=true h", "-oConnectTimeout=1m30 h",
	} {
		words := strings.Fields(line)
		out, err := exec.Command(ssh, append([]string{"-F", "/dev/null", "-G"}, words...)...).Output()
		if err != nil {
			t.Logf("this ssh refuses %s", line)
			continue
		}
		theirs := map[string]string{}
		for entry := range strings.Lines(string(out)) {
			key, value, _ := strings.Cut(strings.TrimSpace(entry), " ")
			theirs[key] = value
		}
		inv, err := parseArgs(words, true)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		for key, ours := range sshView(inv) {
			if theirs[key] != ours {
				t.Errorf("%s: %s is %q, with ssh %q", line, key, ours, theirs[key])
			}
		}
	}
}

// sshView is an invocation in the words of ssh -G.
func sshView(v *invocation) map[string]string {
	ttys := map[ttyRequest]string{ttyAuto: "auto", ttyNo: "false", ttyYes: "true", ttyForce: "force"}
	levels := map[int]string{levelQuiet: "SILENT", levelNormal: "INFO", levelVerbose: "DEBUG", levelDebug: "DEBUG2", levelTrace: "DEBUG3"}
	view := map[string]string{
		"hostname": v.tokenHost(), "requesttty": ttys[v.tty.value], "loglevel": levels[v.level.value],
		"batchmode": yesNo(v.batchMode.value), "stdinnull": yesNo(v.stdinNull.value), "escapechar": "none",
		"connecttimeout": "none",
	}
	if v.user.set {
		view["user"] = v.user.value
	}
	if v.port.set {
		view["port"] = fmt.Sprint(v.port.value)
	}
	if d := v.connectTimeout.value; d > 0 {
		view["connecttimeout"] = fmt.Sprint(int(d.Seconds()))
	}
	switch key := v.escapeChar(); {
	case key >= ' ':
		view["escapechar"] = string(rune(key))
	case key > 0:
		view["escapechar"] = `\^` + string(rune(key|'@'))
	}
	if v.tty.value == ttyNo { // the flag says false, the keyword no
		delete(view, "requesttty")
	}
	if v.level.set && v.level.value == levelQuiet {
		delete(view, "loglevel") // rex has one level for three of ssh
	}
	return view
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
