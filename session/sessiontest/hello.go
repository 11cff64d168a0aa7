package sessiontest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// greetingTime bounds the exchange of lines before a connection.
	greetingTime = 5 * time.Second
	// maxLine is how many bytes such a line has at most, without its end.
	maxLine = 512
	// magic begins every line of who connects, with the protocol's version.
	magic = "sessiontest/1"
)

// A hello is the line that a process begins a connection to another one with:
//
//	sessiontest/1 network token dial α:49152 β:1
//	sessiontest/1 network token news
//
// The first is for a connection between hosts, which follows the answer ok; the
// second says that the file of faults has changed, and was heeded when ok comes.
type hello struct {
	network, token string
	from, to       Addr // zero for news
}

func (h hello) String() string {
	line := magic + " " + h.network + " " + h.token
	if h.isNews() {
		return line + " news"
	}
	return line + " dial " + h.from.String() + " " + h.to.String()
}

func (h hello) isNews() bool { return h.to == Addr{} }

// parseHello takes only what String makes.
func parseHello(line string) (hello, error) {
	words := strings.Split(line, " ")
	if len(line) > maxLine || len(words) < 4 || words[0] != magic || !isName(words[1]) || !isName(words[2]) {
		return hello{}, ErrProtocol
	}
	h := hello{network: words[1], token: words[2]}
	switch words := words[3:]; {
	case len(words) == 1 && words[0] == "news":
		return h, nil
	case len(words) == 3 && words[0] == "dial":
		var err error
		if h.from, err = parseAddr(words[1]); err == nil {
			h.to, err = parseAddr(words[2])
		}
		return h, err
	}
	return hello{}, ErrProtocol
}

// parseAddr takes only what Addr.String makes.
func parseAddr(text string) (Addr, error) {
	host, number, _ := strings.Cut(text, ":")
	port, err := strconv.Atoi(number)
	if err != nil || strconv.Itoa(port) != number || port < 1 || port > maxPort || !isName(host) {
		return Addr{}, ErrProtocol
	}
	return Addr{host, port}, nil
}

// answers are what a hello is answered with, and what that means.
var answers = map[string]error{
	"ok":       nil,
	"refused":  syscall.ECONNREFUSED,
	"mismatch": ErrNetworkMismatch,
	"protocol": ErrProtocol,
}

// answerOf is the answer that means err.
func answerOf(err error) string {
	for text, meaning := range answers {
		if errors.Is(err, meaning) {
			return text
		}
	}
	return "protocol"
}

// greet says hello and returns what the answer means. It ends with ctx.
func greet(ctx context.Context, tcp net.Conn, h hello) error {
	var answer string
	err := withContext(ctx, tcp, func() (err error) {
		if _, err = io.WriteString(tcp, h.String()+"\n"); err == nil {
			answer, err = readLine(tcp)
		}
		return err
	})
	if err != nil {
		return err
	}
	meaning, known := answers[answer]
	if !known {
		return fmt.Errorf("%w: it answers %.20q", ErrProtocol, answer)
	}
	return meaning
}

// withContext does something with a connection that ends with ctx, and after
// greetingTime.
func withContext(ctx context.Context, tcp net.Conn, do func() error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, greetingTime, errSilent)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = tcp.SetDeadline(time.Unix(1, 0)) })
	err := do()
	if !stop() {
		return context.Cause(ctx)
	}
	return err
}

var errSilent = fmt.Errorf("%w: it was silent for %v", ErrProtocol, greetingTime)

// readLine reads a line and nothing beyond it, and returns it without its end.
func readLine(r io.Reader) (string, error) {
	var line []byte
	for b := make([]byte, 1); len(line) <= maxLine; {
		switch _, err := io.ReadFull(r, b); {
		case errors.Is(err, io.EOF):
			return "", fmt.Errorf("%w: it ended in the middle of a line", ErrProtocol)
		case err != nil:
			return "", err
		case b[0] == '\n':
			return string(line), nil
		}
		line = append(line, b[0])
	}
	return "", fmt.Errorf("%w: a line is longer than %d bytes", ErrProtocol, maxLine)
}
