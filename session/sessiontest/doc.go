// Package sessiontest is for tests of what is built on session: a server and a
// client in one line, and networks of named hosts whose links can be cut. It is
// to session what net/http/httptest is to net/http.
//
//	srv := sessiontest.NewServer(t)
//	out, err := srv.Client().Command("uname", "-a").Output()
//
// A network of [NewNetwork] is within the test's process, and does nothing on the
// machine's network. One of [Join] is of several processes on one machine, which
// meet in a directory and connect over loopback; it needs no root.
//
//	net, err := sessiontest.Join(dir, "mynet")
//	l, err := net.Host("web1").Listen(ctx, 0)      // in one process: web1:1
//	c, err := net.Host("laptop").Dial(ctx, "web1:1") // in any process
//
// Connections have the contract of net.Conn and are like those of TCP: bytes in
// order, a sending half that ends alone, deadlines, and a reset for who closes
// without having read everything, which loses what was on its way. A reset does
// not wait for a delay. Within one process they wait on channels only, so tests
// in bubbles of testing/synctest can use them. NewServer needs a Unix.
//
// # The programs
//
// Programs rex and rexd that were built with the tag testnet dial and listen on
// a network of Join instead of TCP when REX_TESTNET names one, as
// directory:network:host. All else is as on TCP: host keys, known_hosts, logins.
// Plain addresses of services, where nobody logs in, stay TCP.
//
//	go build -tags testnet -o bin/ ./cmd/rex ./cmd/rexd
//	REX_TESTNET=/tmp/nets:mynet:web1 bin/rexd --listen :7390 &
//	REX_TESTNET=/tmp/nets:mynet:laptop bin/rex web1 uptime
//
// A rexd listens on its own host: the address has that name or none, and port 0
// is the host's next one. rex reaches all hosts, "α" too, but --listen takes
// names of ASCII only. Options that are TCP's own, as -b, -4 and -6, do nothing.
// SSH_CONNECTION and from= see the addresses of [Addr.AddrPort].
package sessiontest
