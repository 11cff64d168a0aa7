// Package testnet is where rex and rexd meet the test networks of package
// sessiontest. Programs that were built with the tag testnet, and find in
// REX_TESTNET a network to join and who they are there, dial and listen on that
// instead of TCP:
//
//	go build -tags testnet -o bin/ ./cmd/rex ./cmd/rexd
//	REX_TESTNET=/tmp/nets:mynet:web1 bin/rexd --listen :7390
//	REX_TESTNET=/tmp/nets:mynet:laptop bin/rex web1 uptime
//
// All else is as on TCP: TLS, host keys, the login. In programs built without
// the tag, as users get them, there is nothing of it, and the variable means
// nothing.
package testnet
