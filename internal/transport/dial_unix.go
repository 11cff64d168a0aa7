//go:build linux || darwin || freebsd

package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/rexec/rex/proto"
)

// DialUnix connects to the server at path, which is absolute, and logs in as
// user, which is an account of this process's effective uid; empty is that
// account. ctx bounds the dial and the login, 30 s bound the login besides.
//
// It refuses a path that anybody but root and this process's user could have
// put there ([*UnsafePathError]), and a server that runs as anybody else. A
// refused login is a [*RefusedError], a peer of another protocol a
// [*ForeignPeerError]. Where there is no socket the error wraps
// [io/fs.ErrNotExist], and where nobody listens on it [syscall.ECONNREFUSED].
func DialUnix(ctx context.Context, path, user string) (Conn, error) {
	return dialUnix(ctx, path, &proto.Auth{Mode: proto.AuthPeer, User: user}, nil)
}

// DialUnixCommand is as [DialUnix] for a connection that is for one command:
// first, which is not empty, leaves right behind the login, and the descriptors
// with the numbers files, at most [proto.MaxFiles], with its first byte. They
// stay open here.
func DialUnixCommand(ctx context.Context, path, user string, first []byte, files []int) (Conn, error) {
	return dialUnix(ctx, path, &proto.Auth{Mode: proto.AuthDescriptors, User: user}, func(conn *net.UnixConn) error {
		return writeFiles(conn, first, files)
	})
}

// dialUnix connects and logs in. more, unless nil, writes what the login is
// followed by without waiting for the verdict.
func dialUnix(ctx context.Context, path string, login *proto.Auth, more func(*net.UnixConn) error) (Conn, error) {
	if login.User == "" {
		login.User = currentUser()
	}
	frame, err := login.Append(nil)
	if err != nil {
		return nil, err
	}
	conn, err := connect(ctx, path)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	stop := cutOff(ctx, conn)
	err = logIn(conn, frame, more)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("socket %s: %w", printable(path), err)
	}
	return conn, nil
}

// connect connects to a socket that is safe to trust.
func connect(ctx context.Context, path string) (*net.UnixConn, error) {
	if err := checkName(path); err != nil {
		return nil, err
	}
	if err := checkSocket(path, os.Geteuid()); err != nil {
		return nil, err
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", printable(path), errors.Unwrap(err))
	}
	conn := c.(*net.UnixConn)
	peer, _, err := examine(conn)
	if err == nil && peer.UID != 0 && peer.UID != os.Geteuid() {
		err = &UnsafePathError{path, fmt.Sprintf("its server runs as uid %d, neither root nor uid %d", peer.UID, os.Geteuid())}
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// logIn sends the login and more, and reads the verdict, never a byte beyond it.
func logIn(conn *net.UnixConn, frame []byte, more func(*net.UnixConn) error) error {
	// A server that refuses may have closed before everything was written, and
	// its verdict is there to be read all the same.
	_, werr := conn.Write(frame)
	if werr == nil && more != nil {
		werr = more(conn)
	}
	r := &remembering{r: conn}
	result, err := proto.ReadAuthResult(r)
	switch {
	case err == nil && result.Code == proto.AuthOK:
		return werr
	case err == nil:
		return &RefusedError{Code: result.Code, Text: printable(result.Text)}
	}
	if _, bad := errors.AsType[*proto.AuthError](err); bad {
		return foreign(r.first)
	}
	if werr != nil {
		err = werr
	}
	if errors.Is(err, io.EOF) {
		return errors.New("the server closed the connection without a verdict on the login")
	}
	return err
}

// remembering keeps the first bytes that were read.
type remembering struct {
	r     io.Reader
	first []byte
}

func (r *remembering) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if room := 64 - len(r.first); room > 0 {
		r.first = append(r.first, p[:min(n, room)]...)
	}
	return n, err
}
