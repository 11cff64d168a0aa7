//go:build unix

package session_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/rexec/rex/proto"
	"github.com/rexec/rex/session"
	"github.com/rexec/rex/session/execd"
)

// exampleClient is a client of a server within this program.
func exampleClient() (client *session.Client, end func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "rexd.sock"))
	if err != nil {
		log.Fatal(err)
	}
	handler, err := execd.New(execd.Options{Mode: "group", Shell: "/bin/sh", Home: "/"})
	if err != nil {
		log.Fatal(err)
	}
	server := &session.Server{Handler: handler}
	served := make(chan error)
	go func() { served <- server.Serve(l) }()
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	if client, err = session.NewClient(conn, nil); err != nil {
		log.Fatal(err)
	}
	return client, func() {
		_ = client.Close()
		_ = server.Shutdown(context.Background())
		<-served
		_, _ = handler.Close(), os.RemoveAll(dir)
	}
}

// Arguments arrive exactly as they are: no shell is involved.
func ExampleClient_Command() {
	client, end := exampleClient()
	defer end()

	out, err := client.Command("printf", "[%s]\n", "a b", "", "$HOME *").Output()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(out))

	err = client.Command("sh", "-c", "exit 3").Run()
	if exit, ok := errors.AsType[*session.ExitError](err); ok {
		fmt.Println("status", exit.ExitCode())
	}

	err = client.Command("no-such-program").Run()
	fmt.Println("not found:", errors.Is(err, session.ErrNotFound))
	// Output:
	// [a b]
	// []
	// [$HOME *]
	// status 3
	// not found: true
}

// A line is for the login shell, as with ssh.
func ExampleClient_Shell() {
	client, end := exampleClient()
	defer end()

	out, err := client.Shell("for i in 1 2 3; do echo $i; done | sort -r").Output()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(out))
	// Output:
	// 3
	// 2
	// 1
}

// The end of the context kills the command's whole tree, also what it runs in
// the background.
func ExampleClient_CommandContext() {
	client, end := exampleClient()
	defer end()

	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	err := client.CommandContext(ctx, "sh", "-c", "sleep 600 & sleep 600").Run()
	fmt.Println(err)
	// Output:
	// signal: killed
}

// Input can be written while output is read.
func ExampleCmd_StdinPipe() {
	client, end := exampleClient()
	defer end()

	cmd := client.Command("sort")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		log.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		log.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		log.Fatal(err)
	}
	_, _ = io.WriteString(stdin, "pear\napple\n")
	_ = stdin.Close() // the end of input

	all, err := io.ReadAll(stdout)
	if err != nil {
		log.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(all))
	// Output:
	// apple
	// pear
}

// A server within another program. This one runs nothing but what its handler
// allows; the handler of package execd runs everything.
func ExampleServer() {
	runs, err := execd.New(execd.Options{Mode: "group"})
	if err != nil {
		log.Fatal(err)
	}
	defer runs.Close()
	server := &session.Server{Handler: allow{runs, "date"}}

	ours, theirs := net.Pipe()
	served := make(chan error)
	go func() { served <- server.ServeConn(context.Background(), theirs, session.Peer{User: "me"}) }()

	client, err := session.NewClient(ours, nil)
	if err != nil {
		log.Fatal(err)
	}
	out, err := client.Command("date", "-u", "-d", "@0", "+%Y").Output()
	fmt.Printf("%s%v\n", out, err)
	err = client.Command("rm", "-rf", "/tmp/x").Run()
	fmt.Println(errors.Is(err, proto.CodePermissionDenied))

	_ = client.Close()
	fmt.Println(<-served) // the end of a session is no error
	// Output:
	// 1970
	// <nil>
	// true
	// <nil>
}

// allow is a handler that starts one program only.
type allow struct {
	session.Handler
	program string
}

func (a allow) Start(ctx context.Context, req *session.Request) (session.Process, error) {
	if req.Name() != a.program {
		return nil, &session.Refusal{Code: proto.CodePermissionDenied, Message: "only " + a.program}
	}
	return a.Handler.Start(ctx, req)
}
