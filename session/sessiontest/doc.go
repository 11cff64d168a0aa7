// Package sessiontest is for tests of what is built on session: a server and a
// client in one line, and networks of named hosts whose links can be cut, all
// within the test's process and without its machine's network. It is to session
// what net/http/httptest is to net/http.
//
//	srv := sessiontest.NewServer(t)
//	out, err := srv.Client().Command("uname", "-a").Output()
//
// Connections have the contract of net.Conn and are like those of TCP: bytes in
// order, a sending half that ends alone, deadlines, and a reset for who closes
// without having read everything, which loses what was on its way. A reset does
// not wait for a delay. They wait on channels only, so tests in bubbles of
// testing/synctest can use them. NewServer needs a Unix.
package sessiontest
