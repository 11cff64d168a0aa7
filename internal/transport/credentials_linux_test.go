package transport

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rexec/rex/proto"
)

// as makes cmd run as uid. The socket and its directory must be open to it.
func as(cmd *exec.Cmd, uid uint32) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	return cmd
}

// TestOtherUser has other users at a socket whose mode lets them connect.
func TestOtherUser(t *testing.T) {
	needRoot(t)
	l := listen(t, UnixOptions{})
	if err := os.Chmod(l.path, 0o666); err != nil {
		t.Fatal(err)
	}
	logins := serve(t, l)
	for uid, want := range map[uint32]string{
		stranger:    "serves uid 0 only",
		overflowUID: "nobody in particular",
	} {
		out, err := as(helper(t, "dial", l.path), uid).Output()
		if err == nil || !strings.Contains(string(out), "login refused (denied): ") || !strings.Contains(string(out), want) {
			t.Errorf("uid %d: %v, %s", uid, err, out)
		}
		got := receive(t, logins)
		if e, ok := errors.AsType[*LoginError](got.err); !ok || e.Peer.(PeerAddr).UID != int(uid) || e.Peer.(PeerAddr).PID == 0 {
			t.Errorf("uid %d: server's error %v", uid, got.err)
		}
	}
}

// TestListenAsNobody fails at once, and not at every login.
func TestListenAsNobody(t *testing.T) {
	needRoot(t)
	dir := socketDir(t)
	chown(t, dir, overflowUID)
	out, err := as(helper(t, "listen", dir+"/rexd.sock"), overflowUID).Output()
	if err == nil || !strings.Contains(string(out), "run as another user") {
		t.Errorf("%v, %s", err, out)
	}
}

// TestModeKeepsOthersOut is the same with the mode as it is made.
func TestModeKeepsOthersOut(t *testing.T) {
	needRoot(t)
	l := listen(t, UnixOptions{})
	out, err := as(helper(t, "dial", l.path), stranger).Output()
	if err == nil || !strings.Contains(string(out), "permission denied") {
		t.Errorf("%v, %s", err, out)
	}
}

// TestServerOfOtherUser has a client that finds a server of neither root nor
// itself.
func TestServerOfOtherUser(t *testing.T) {
	needRoot(t)
	dir := socketDir(t)
	path := dir + "/rexd.sock"
	chown(t, dir, stranger)
	cmd := as(helper(t, "listen", path), stranger)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	if _, err := io.ReadFull(out, make([]byte, len("listening\n"))); err != nil {
		t.Fatal(err)
	}
	// With root's own directory around it, only the peer itself tells.
	chown(t, dir, 0)
	chown(t, path, 0)
	_, err = DialUnix(t.Context(), path, "")
	checkUnsafe(t, "dial", err, "its server runs as uid 12345")
}

// TestConnectionHandedOn has root connect, and another user write the login:
// SO_PEERCRED still says root.
func TestConnectionHandedOn(t *testing.T) {
	needRoot(t)
	l := listen(t, UnixOptions{})
	logins := serve(t, l)
	frame := authFrame(t, "root")
	for _, own := range []int{0, 4, 10} { // so many bytes are root's own
		c := rawDial(t, l)
		f, err := c.File()
		if err != nil {
			t.Fatal(err)
		}
		c.Write(frame[:own])
		cmd := as(helper(t, "say"), stranger)
		cmd.ExtraFiles = []*os.File{f}
		cmd.Stdin = bytes.NewReader(frame[own:])
		out, err := cmd.Output()
		f.Close()
		if err != nil {
			t.Fatal(err, string(out))
		}
		res := readVerdict(t, c)
		if res.Code != proto.AuthDenied || !strings.Contains(res.Text, "not written by the process that connected") {
			t.Errorf("after %d bytes: verdict %v", own, res)
		}
		c.Close()
		if receive(t, logins).err == nil {
			t.Error("logged in")
		}
	}
}

// TestDescriptorsInLogin sends descriptors with each byte of a login.
func TestDescriptorsInLogin(t *testing.T) {
	noNewFiles(t)
	l := listen(t, UnixOptions{})
	logins := serve(t, l)
	frame := authFrame(t, currentUser())
	for _, at := range []int{0, 1, 4, len(frame) - 1} {
		for _, count := range []int{1, 253} {
			c := rawDial(t, l)
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			fds := make([]int, count)
			for i := range fds {
				fds[i] = int(w.Fd())
			}
			c.Write(frame[:at])
			if _, _, err := c.WriteMsgUnix(frame[at:], unix.UnixRights(fds...), nil); err != nil {
				t.Fatal(err)
			}
			res := readVerdict(t, c)
			if res.Code != proto.AuthDenied || !strings.Contains(res.Text, "carries no descriptors") {
				t.Errorf("%d at byte %d: verdict %v", count, at, res)
			}
			c.Close()
			if got := receive(t, logins); got.err == nil {
				t.Errorf("%d at byte %d: logged in", count, at)
			}
			w.Close()
			if _, err := r.Read(make([]byte, 1)); err != io.EOF { // the server has none of them open
				t.Errorf("pipe: %v", err)
			}
			r.Close()
		}
	}
}

// TestDescriptorsAfterLogin sends a descriptor with the session's first byte:
// it does not arrive.
func TestDescriptorsAfterLogin(t *testing.T) {
	noNewFiles(t)
	l := listen(t, UnixOptions{})
	logins := serve(t, l)
	c := rawDial(t, l)
	c.Write(authFrame(t, currentUser()))
	readVerdict(t, c)
	conn := receive(t, logins).conn
	defer conn.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, _, err := c.WriteMsgUnix([]byte("x"), unix.UnixRights(int(w.Fd())), nil); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if n, err := conn.Read(make([]byte, 8)); n != 1 || err != nil {
		t.Errorf("Read: %d, %v", n, err)
	}
	if _, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("pipe: %v", err)
	}
}

// TestCredentialsEndWithLogin makes sure that the session does not pay for
// credentials.
func TestCredentialsEndWithLogin(t *testing.T) {
	l := listen(t, UnixOptions{})
	logins := serve(t, l)
	c, err := DialUnix(t.Context(), l.path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	conn := receive(t, logins).conn
	defer conn.Close()
	raw, err := conn.conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = control(raw, func(fd int) error {
		v, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED)
		if v != 0 {
			t.Error("SO_PASSCRED is still on")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestLoginBeforeAccept has everything sent before the server looks.
func TestLoginBeforeAccept(t *testing.T) {
	l := listen(t, UnixOptions{})
	c := rawDial(t, l)
	c.Write(authFrame(t, currentUser()))
	if err := accept(t, l).Handshake(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestInspect(t *testing.T) {
	cred := func(uid uint32) []byte { return unix.UnixCredentials(&unix.Ucred{Uid: uid, Gid: 1, Pid: 2}) }
	rights := unix.UnixRights(1000, 1001)
	other := bytes.Clone(cred(5))
	other[8] = 99 // the level
	for _, tt := range []struct {
		name  string
		oob   []byte
		flags int
		data  bool
		fds   int
		want  string
	}{
		{"good", cred(5), 0, true, 0, ""},
		{"twice", append(cred(5), cred(5)...), 0, true, 0, ""},
		{"other uid", cred(6), 0, true, 0, "not written by"},
		{"one other uid", append(cred(6), cred(5)...), 0, true, 0, "not written by"},
		{"none", nil, 0, true, 0, "without credentials"},
		{"end", nil, 0, false, 0, ""},
		{"end with nobody's", cred(overflowUID), 0, false, 0, ""},
		{"rights", append(cred(5), rights...), 0, true, 2, "no descriptors"},
		{"rights first", append(bytes.Clone(rights), cred(5)...), 0, true, 2, "no descriptors"},
		{"rights alone", rights, 0, true, 2, "no descriptors"},
		{"cut", cred(5), unix.MSG_CTRUNC, true, 0, "damaged"},
		{"unknown", append(cred(5), other...), 0, true, 0, "unknown control"},
		{"garbage", []byte{1, 2, 3}, 0, true, 0, "without credentials"},
	} {
		fds, err := inspect(tt.oob, tt.flags, tt.data, 5)
		if len(fds) != tt.fds {
			t.Errorf("%s: descriptors %v", tt.name, fds)
		}
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// FuzzInspect: bytes are taken only with the right uid, no descriptors and
// nothing cut.
func FuzzInspect(f *testing.F) {
	good := unix.UnixCredentials(&unix.Ucred{Uid: 5})
	f.Add(good, 0, true)
	f.Add(append(bytes.Clone(good), unix.UnixRights(1, 2, 3)...), 0, true)
	f.Add(unix.UnixCredentials(&unix.Ucred{Uid: 6}), unix.MSG_CTRUNC, true)
	f.Add([]byte{}, 0, false)
	f.Add(unix.UnixCredentials(&unix.Ucred{Uid: 5})[:16], 0, true)
	f.Add([]byte("\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00"), 0, true)                  // no data
	f.Add(append([]byte("\x13\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00"), 1, 2, 3), 0, true) // part of a descriptor
	f.Fuzz(func(t *testing.T, oob []byte, flags int, data bool) {
		fds, err := inspect(oob, flags, data, 5)
		if err != nil {
			return
		}
		if len(fds) > 0 || flags&unix.MSG_CTRUNC != 0 {
			t.Fatalf("accepted with %v, flags %#x", fds, flags)
		}
		if data && !bytes.Contains(oob, []byte{5, 0, 0, 0}) {
			t.Fatal("accepted without the uid")
		}
	})
}
