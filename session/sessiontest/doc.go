// Package sessiontest is for tests of what is built on session: a server and a
// client in one line, and networks of named hosts whose links can be cut, all
// within the test's process and without its machine's network. It is to session
// what net/http/httptest is to net/http.
//
//	srv := sessiontest.NewServer(t)
//	out, err := srv.Client().Command("uname", "-a").Output()
//
// Connections are those of TCP as far as a program can tell: bytes in order, a
// sending half that ends alone, deadlines, and a reset for who closes without
// having read everything. They wait on channels only, so tests in bubbles of
// testing/synctest can use them.
package sessiontest
