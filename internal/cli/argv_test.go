package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// understood is what a command line comes to.
type understood struct {
	user, host string
	port       int
	tty        ttyRequest
	subsystem  string
	command    string
}

func understand(v *invocation) understood {
	u := understood{
		user: v.user.value, host: v.target.host, port: v.portNumber(), tty: v.tty.value,
		command: v.remoteCommand.value,
	}
	if v.kind() == sessionSubsystem {
		u.subsystem = strings.Join(v.words, " ")
	}
	if u.subsystem == "" && u.command == "" {
		u.command = strings.Join(v.words, " ")
	}
	return u
}

// clientLines are the command lines with which other programs call ssh, after
// the program's name. Each must come to what ssh makes of it, whether or not
// this version can do it.
var clientLines = []struct {
	client string
	words  []string
	want   understood
}{
	{
		"rsync",
		[]string{"-l", "bob", "host", "rsync", "--server", "--sender", "-logDtpre.iLsfxCIvu", ".", `/path\ esc`},
		understood{user: "bob", host: "host", command: `rsync --server --sender -logDtpre.iLsfxCIvu . /path\ esc`},
	},
	{
		"rsync, bare IPv6",
		[]string{"-6", "-l", "bob", "::1", "rsync", "--server", "--daemon", "."},
		understood{user: "bob", host: "::1", command: "rsync --server --daemon ."},
	},
	{
		"scp",
		[]string{
			"-x", "-oPermitLocalCommand=no", "-oClearAllForwardings=yes", "-oRemoteCommand=none", "-oRequestTTY=no", "-4", "-C",
			"-i", "key", "-F", "cfg", "-o", "Compression=yes", "-oForwardAgent=no", "-p", "2222", "-l", "bob", "-s", "--", "host", "sftp",
		},
		understood{user: "bob", host: "host", port: 2222, tty: ttyNo, subsystem: "sftp"},
	},
	{
		"scp -O",
		[]string{
			"-x", "-oPermitLocalCommand=no", "-oClearAllForwardings=yes", "-oRemoteCommand=none", "-oRequestTTY=no",
			"-oForwardAgent=no", "--", "host", "scp -v -r -t /path",
		},
		understood{host: "host", tty: ttyNo, command: "scp -v -r -t /path"},
	},
	{
		"scp -R",
		[]string{"-x", "-oClearAllForwardings=yes", "-n", "--", "host1", "scp", "a", "host2:b"},
		understood{host: "host1", command: "scp a host2:b"},
	},
	{
		"sftp",
		[]string{
			"-oForwardX11 no", "-oPermitLocalCommand no", "-oClearAllForwardings yes", "-obatchmode yes", "-oForwardAgent no",
			"-oPort 2222", "-l", "bob", "-s", "--", "host", "sftp",
		},
		understood{user: "bob", host: "host", port: 2222, subsystem: "sftp"},
	},
	{
		"sftp -s /path",
		[]string{"-oForwardX11 no", "-oForwardAgent no", "--", "host", "/path/sftp-server"},
		understood{host: "host", command: "/path/sftp-server"},
	},
	{
		"git",
		[]string{"-o", "SendEnv=GIT_PROTOCOL", "-4", "-p", "22", "bob@host", "git-upload-pack '/repo'"},
		understood{user: "bob", host: "host", port: 22, command: "git-upload-pack '/repo'"},
	},
	{"borg", []string{"-p", "22", "bob@host", "borg", "serve", "--info"}, understood{user: "bob", host: "host", port: 22, command: "borg serve --info"}},
	{
		"sshfs",
		[]string{
			"-x", "-a", "-oClearAllForwardings=yes", "-oPort=22", "-oCompression=yes", "-oServerAliveInterval=5", "-2", "-s", "--", "bob@host", "sftp",
		},
		understood{user: "bob", host: "host", port: 22, subsystem: "sftp"},
	},
	{"sshfs, path", []string{"-x", "-a", "-2", "--", "host", "/p"}, understood{host: "host", command: "/p"}},
	{
		"ansible",
		[]string{
			"-vvv", "-C", "-o", "ControlMaster=auto", "-o", "ControlPersist=60s", "-o", "StrictHostKeyChecking=no", "-o", "Port=22",
			"-o", `IdentityFile="/k"`, "-o", "KbdInteractiveAuthentication=no",
			"-o", "PreferredAuthentications=gssapi-with-mic,gssapi-keyex,hostbased,publickey", "-o", "PasswordAuthentication=no",
			"-o", `User="bob"`, "-o", "ConnectTimeout=10", "-o", `ControlPath="/home/bob/.ansible/cp/x"`, "-tt", "host", "/bin/sh -c 'echo ~'",
		},
		understood{user: "bob", host: "host", port: 22, tty: ttyForce, command: "/bin/sh -c 'echo ~'"},
	},
	{
		"docker",
		[]string{"-o ConnectTimeout=30", "-T", "-l", "bob", "-p", "22", "--", "host", "docker", "system", "dial-stdio"},
		understood{user: "bob", host: "host", port: 22, tty: ttyNo, command: "docker system dial-stdio"},
	},
	{
		"mosh",
		[]string{
			"-n", "-tt", "-S", "none", "-o", "ProxyCommand='/usr/bin/mosh' '--family=prefer-inet' --fake-proxy -- %h %p", "bob@host", "--",
			"mosh-server 'new' '-c' '8' '-s' '-l' 'LANG=C'",
		},
		understood{user: "bob", host: "host", tty: ttyForce, command: "mosh-server 'new' '-c' '8' '-s' '-l' 'LANG=C'"},
	},
	{"restic", []string{"host", "-p", "22", "-l", "bob", "-s", "sftp"}, understood{user: "bob", host: "host", port: 22, subsystem: "sftp"}},
	{"rclone", []string{"bob@host", "-s", "sftp"}, understood{user: "bob", host: "host", subsystem: "sftp"}},
	{"rclone, command", []string{"bob@host", "md5sum /path"}, understood{user: "bob", host: "host", command: "md5sum /path"}},
	{"unison", []string{"-l", "bob", "-p", "22", "host", "-e", "none", "unison", "-server"}, understood{user: "bob", host: "host", port: 22, command: "unison -server"}},
	{
		"mutagen",
		[]string{"-oConnectTimeout=5", "-oServerAliveInterval=10", "-oServerAliveCountMax=1", "-p", "22", "bob@host", "cmd"},
		understood{user: "bob", host: "host", port: 22, command: "cmd"},
	},
	{"bup", []string{"-p", "22", "host", "--", "sh -c 'BUP_DEBUG=0 bup server'"}, understood{host: "host", port: 22, command: "sh -c 'BUP_DEBUG=0 bup server'"}},
	{"rdiff-backup", []string{"-C", "host", "rdiff-backup", "server"}, understood{host: "host", command: "rdiff-backup server"}},
	{
		"syncoid",
		[]string{"-c", "aes128-ctr", "-p", "22", "-i", "k", "-M", "-S", "sock", "-o", "ControlPersist=1m", "bob@host", "exit"},
		understood{user: "bob", host: "host", port: 22, command: "exit"},
	},
	{"syncoid, again", []string{"-S", "sock", "bob@host", "echo", "-n"}, understood{user: "bob", host: "host", command: "echo -n"}},
	{"syncoid, end", []string{"-S", "sock", "bob@host", "-O", "exit"}, understood{user: "bob", host: "host"}},
	{
		"nix",
		[]string{
			"bob@host", "-x", "-i", "k", "-oUserKnownHostsFile=f", "-C", "-p22", "-oPermitLocalCommand=yes", "-oLocalCommand=echo started",
			"-S", "sock", "-v", "--", "nix-store", "--serve",
		},
		understood{user: "bob", host: "host", port: 22, command: "nix-store --serve"},
	},
	{"nix, master", []string{"bob@host", "-M", "-N", "-S", "sock"}, understood{user: "bob", host: "host"}},
	{"sshuttle", []string{"-p", "22", "bob@host", "--", "/bin/sh -c 'exec python'"}, understood{user: "bob", host: "host", port: 22, command: "/bin/sh -c 'exec python'"}},
	{"parallel", []string{"-S", "ctl", "-l", "bob", "host", "--", "exec", "true"}, understood{user: "bob", host: "host", command: "exec true"}},
	{"parallel -M", []string{"-MTS", "ctl", "host", "--", "perl", "-e", "1"}, understood{host: "host", tty: ttyNo, command: "perl -e 1"}},
	{"pdsh", []string{"-oConnectTimeout=10", "-2", "-a", "-x", "-lbob", "host", "cmd"}, understood{user: "bob", host: "host", command: "cmd"}},
	{
		"clush",
		[]string{"-oForwardAgent=no", "-oForwardX11=no", "-l", "bob", "-oConnectTimeout=15", "-oBatchMode=yes", "host", "cmd"},
		understood{user: "bob", host: "host", command: "cmd"},
	},
	{
		"pssh",
		[]string{"-T", "host", "-o", "NumberOfPasswordPrompts=1", "-o", "SendEnv=PSSH_NODENUM", "-l", "bob", "-p", "22", "-q", "-C", "cmd"},
		understood{user: "bob", host: "host", port: 22, tty: ttyNo, command: "cmd"},
	},
	{
		"systemctl",
		[]string{"-xT", "-p", "2222", "--", "bob@host", "systemd-stdio-bridge", "--machine=c"},
		understood{user: "bob", host: "host", port: 2222, tty: ttyNo, command: "systemd-stdio-bridge --machine=c"},
	},
	{
		"libvirt",
		[]string{"-p", "9000", "-l", "bob", "-i", "key", "-T", "-e", "none", "-o", "BatchMode=yes", "--", "host", "sh -c 'nc'"},
		understood{user: "bob", host: "host", port: 9000, tty: ttyNo, command: "sh -c 'nc'"},
	},
	{
		"ssh-copy-id",
		[]string{
			"-a", "-x", "-v", "-i", "k", "-o", "PreferredAuthentications=,", "-o", "ControlPath=none", "-o", "LogLevel=INFO",
			"-o", "IdentitiesOnly=yes", "-p", "2222", "bob@host", "exit",
		},
		understood{user: "bob", host: "host", port: 2222, command: "exit"},
	},
	{"svn", []string{"-q", "--", "bob@host", "svnserve", "-t"}, understood{user: "bob", host: "host", command: "svnserve -t"}},
	{"hg", []string{"-p", "22", "bob@host", "hg -R path serve --stdio"}, understood{user: "bob", host: "host", port: 22, command: "hg -R path serve --stdio"}},
	{
		"tramp",
		[]string{
			"-l", "bob", "-p", "22", "-o", "ControlMaster=auto", "-o", "ControlPath=tramp.%r@%h:%p", "-o", "ControlPersist=no",
			"-e", "none", "-t", "-t", "-o", `RemoteCommand="/bin/sh -l"`, "host",
		},
		understood{user: "bob", host: "host", port: 22, tty: ttyForce, command: `"/bin/sh -l"`},
	},
	{"VS Code", []string{"-v", "-T", "-D", "4000", "-o", "ConnectTimeout=15", "-F", "cfg", "host", "bash"}, understood{host: "host", tty: ttyNo, command: "bash"}},
	{"netrw", []string{"bob@host", "ls", "-FLa", "/etc/"}, understood{user: "bob", host: "host", command: "ls -FLa /etc/"}},
	{
		"mitogen",
		[]string{
			"-o", "LogLevel ERROR", "-l", "bob", "-p", "22", "-o", "Compression yes", "-o", "ServerAliveInterval 30", "-o", "BatchMode yes",
			"-o", "StrictHostKeyChecking yes", "host", "python",
		},
		understood{user: "bob", host: "host", port: 22, command: "python"},
	},
	{"ssh -J", []string{"-W", "[10.0.0.1]:22", "gw"}, understood{host: "gw"}},
	{"ProxyCommand", []string{"host", "sshd", "-i"}, understood{host: "host", command: "sshd -i"}},
	{"people", []string{"-t", "host", "tmux", "a"}, understood{host: "host", tty: ttyYes, command: "tmux a"}},
	{"people, ports", []string{"bob@host:22"}, understood{user: "bob", host: "host", port: 22}},
}

func TestClientLines(t *testing.T) {
	for _, c := range clientLines {
		t.Run(c.client, func(t *testing.T) {
			inv, err := parseArgs(c.words, false)
			if err != nil {
				t.Fatalf("%q: %v", c.words, err)
			}
			want := c.want
			if want.port == 0 {
				want.port = defaultPort
			}
			if diff := cmp.Diff(want, understand(inv), cmp.AllowUnexported(understood{})); diff != "" {
				t.Errorf("%q (-want +got):\n%s", c.words, diff)
			}
		})
	}
}

func TestGrammar(t *testing.T) {
	for _, c := range []struct {
		words string // separated by spaces
		want  understood
	}{
		{"host", understood{host: "host"}},
		{"host -", understood{host: "host", command: "-"}},
		{"host -- -t x", understood{host: "host", command: "-t x"}},
		{"-- host -t x", understood{host: "host", command: "-t x"}},
		{"-- host -- x", understood{host: "host", command: "-- x"}},
		{"-- exec x", understood{host: "exec", command: "x"}},
		{"-T exec x", understood{host: "exec", tty: ttyNo, command: "x"}},
		{"host x -t -- y", understood{host: "host", command: "x -t -- y"}},
		{"host -t x -T", understood{host: "host", tty: ttyYes, command: "x -T"}},
		{"host --timeout 5 x --timeout 6", understood{host: "host", command: "x --timeout 6"}},
		{"-t -t host", understood{host: "host", tty: ttyForce}},
		{"-tT host", understood{host: "host", tty: ttyNo}},
		{"-Tt host", understood{host: "host", tty: ttyYes}},
		{"-oRequestTTY=force -t host", understood{host: "host", tty: ttyYes}},
		{"-t -oRequestTTY=no host", understood{host: "host", tty: ttyYes}},
		{"-nTp22 host", understood{host: "host", tty: ttyNo, port: 22}},
		{"-l=bob host", understood{user: "=bob", host: "host"}},
		{"-l a b@host", understood{user: "a", host: "host"}},
		{"b@host -l a", understood{user: "b", host: "host"}},
		{"-oUser=x -l a b@host", understood{user: "x", host: "host"}},
		{"-p 5 -p 6 host", understood{host: "host", port: 5}},
		{"-p 5 host:6", understood{host: "host", port: 5}},
		{"host:6 -p 5", understood{host: "host", port: 6}},
		{"a@b@host x", understood{user: "a@b", host: "host", command: "x"}},
		{"ssh://bob@host:22/ x", understood{user: "bob", host: "host", port: 22, command: "x"}},
		{"ssh://[::1]:22 x", understood{host: "::1", port: 22, command: "x"}},
		{"-oRemoteCommand=x host", understood{host: "host", command: "x"}},
		{"-s host sftp", understood{host: "host", subsystem: "sftp"}},
		{"-oSessionType=subsystem host sftp", understood{host: "host", subsystem: "sftp"}},
	} {
		inv, err := parseArgs(strings.Fields(c.words), false)
		if err != nil {
			t.Errorf("%s: %v", c.words, err)
			continue
		}
		want := c.want
		if want.port == 0 {
			want.port = defaultPort
		}
		if got := understand(inv); got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", c.words, got, want)
		}
	}
}

func TestGrammarErrors(t *testing.T) {
	for _, c := range []struct {
		words string
		want  string // in the message
	}{
		{"", "no host"},
		{"-t", "no host"},
		{"--", "no host"},
		{"-Z host", "unknown option -Z"},
		{"-h", "unknown option -h"},
		{"-tZ host", "unknown option -Z"},
		{"host -Z x", "unknown option -Z"},
		{"--nosuch host", "unknown option --nosuch"},
		{"host --nosuch x", "unknown option --nosuch"},
		{"-l", "-l needs a value"},
		{"host -p", "-p needs a value"},
		{"--timeout", "--timeout needs a value"},
		{"-p 0 host", "bad port"},
		{"-p 65536 host", "bad port"},
		{"-p -1 host", "bad port"},
		{"-p22x host", "bad port"},
		{"host:x", "bad port"},
		{"-e xx host", "bad escape character"},
		{"-1 host", "protocol"},
		{"-w 0 host", "tunnel"},
		{"-l -x host", "begins with '-'"},
		{"-l a;b host", "forbidden character"},
		{"-- -host", "begins with '-'"},
		{"-", "begins with '-'"},
		{"@host", "no user"},
		{"bob@", "no host"},
		{"-s host", "name of a service is missing"},
		{"-s host a b", `takes no arguments, and "b" is one`},
		{"-s --dir /x host a", "--dir is not for it"},
		{"-s host --orphan keep a", "--orphan keep is not for it"},
		{"-s -oRemoteCommand=x host", "exclude each other"},
		{"-oRemoteCommand=x host y", "exclude each other"},
		{"-oFoo=1 host", "bad configuration option: Foo"},
		{"-o ControlPersist", "no argument"},
		{"--timeout 5x host", "bad time"},
		{"--timeout=-1 host", "bad time"},
		{"--orphan maybe host", "kill or keep"},
		{"--env A host", "no value"},
		{"--env 1A=x host", "no name"},
		{"--status-file= host", "no name"},
		{"--log-level loud host", "unknown level"},
		{"--json=perhaps host", "no value but"},
	} {
		_, err := parseArgs(strings.Fields(c.words), false)
		f, ok := err.(*failure)
		if !ok || !strings.Contains(f.msg, c.want) {
			t.Errorf("%q: got %v, want %q", c.words, err, c.want)
			continue
		}
		if f.how != howUsage || f.status != statusOwn || f.hint == "" {
			t.Errorf("%q: %+v", c.words, f)
		}
	}
}

func TestStrictHasNoLongOptions(t *testing.T) {
	for _, words := range []string{"--timeout 5 host", "--version", "host --help x"} {
		if _, err := parseArgs(strings.Fields(words), true); err == nil || !strings.Contains(err.Error(), "unknown option --") {
			t.Errorf("%s: got %v", words, err)
		}
	}
	if _, err := parseArgs([]string{"-T", "host", "--", "--x"}, true); err != nil {
		t.Error(err)
	}
}

func TestStopsAtVersionAndHelp(t *testing.T) {
	for _, words := range []string{"-V", "-tV -Z", "--version --nosuch", "host -V -Z", "--help"} {
		inv, err := parseArgs(strings.Fields(words), false)
		if err != nil || !inv.version && !inv.help {
			t.Errorf("%s: %+v %v", words, inv.options, err)
		}
	}
}

// An invocation that comes with an error holds what came before it, so that
// the status file can be written.
func TestErrorKeepsStatusFile(t *testing.T) {
	inv, err := parseArgs([]string{"--status-file", "f", "-Z"}, false)
	if err == nil || inv.statusFile != "f" {
		t.Errorf("%v %q", err, inv.statusFile)
	}
}

func FuzzParseArgs(f *testing.F) {
	for _, c := range clientLines {
		f.Add(strings.Join(c.words, "\x00"), false)
	}
	f.Add("--env\x00A=b\x00--timeout=1m\x00h\x00--\x00x", false)
	f.Add("-\x00", true)
	f.Fuzz(func(t *testing.T, joined string, strict bool) {
		words := strings.Split(joined, "\x00")
		inv, err := parseArgs(words, strict)
		if err != nil {
			if failure := asFailure(err); failure.msg == "" || failure.hint == "" {
				t.Fatalf("%q: an error that says nothing: %+v", words, failure)
			}
			return
		}
		if inv.version || inv.help {
			return
		}
		if n := len(inv.words); n > 0 && strings.Join(inv.words, "\x00") != strings.Join(words[len(words)-n:], "\x00") {
			t.Fatalf("%q: the command %q is not its end", words, inv.words)
		}
		for _, name := range []string{inv.user.value, inv.target.host} {
			if strings.HasPrefix(name, "-") || strings.ContainsAny(name, "`$;|&\n") {
				t.Fatalf("%q: dangerous name %q", words, name)
			}
		}
	})
}
