package mux_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log"

	"github.com/rexec/rex/mux"
	"github.com/rexec/rex/mux/muxtest"
)

// The client asks for a stream of data by announcing the stream's id; what the announcement looks like is up to the
// two programs.
func Example() {
	ctx := context.Background()
	c, s := muxtest.Pipe(64 << 10)
	go func() {
		server, err := mux.Server(s, nil)
		if err != nil {
			log.Fatal(err)
		}
		defer server.Close()
		control, err := server.AcceptControl(ctx)
		if err != nil {
			log.Fatal(err)
		}
		var id [4]byte
		if _, err := io.ReadFull(control, id[:]); err != nil {
			log.Fatal(err)
		}
		w, err := server.TakeSend(binary.BigEndian.Uint32(id[:]))
		if err != nil {
			log.Fatal(err)
		}
		io.WriteString(w, "every byte")
		w.CloseWrite()
		<-server.Done()
	}()

	client, err := mux.Client(c, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	control, err := client.OpenControl(ctx)
	if err != nil {
		log.Fatal(err)
	}
	r, err := client.OpenReceive(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := control.Write(binary.BigEndian.AppendUint32(nil, r.ID())); err != nil {
		log.Fatal(err)
	}
	data, err := io.ReadAll(r) // without an error only if the server ended the data
	fmt.Printf("%s, %v\n", data, err)
	// Output: every byte, <nil>
}
