// Package testnet is where rex and rexd meet the test networks of package
// sessiontest. Programs that were built with the tag testnet, and find in
// REX_TESTNET a network to join and who they are there, dial and listen on that
// instead of TCP wherever somebody logs in:
//
//	go build -tags testnet -o bin/ ./cmd/rex ./cmd/rexd
//	REX_TESTNET=/tmp/nets:mynet:web1 bin/rexd --listen :7390
//	REX_TESTNET=/tmp/nets:mynet:laptop bin/rex web1 uptime
//
// All else is as on TCP: TLS, host keys, the login. Plain addresses of services,
// of a [[service]] without login = true and of rexd service run, stay TCP: their
// clients know nothing of rex, nor of its test networks. In programs built without
// the tag, as users get them, there is nothing of it, and the variable means
// nothing.
package testnet
