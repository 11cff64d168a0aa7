// Package listentest has the accept loop of the small servers in tests.
package listentest
