package mux

// DuplexStream is the control stream: data goes both ways, and each way ends on its own. At most one Read and one
// Write may run at a time.
type DuplexStream struct {
	in  *ReceiveStream
	out *SendStream
}

func newDuplexStream(s *Session, f *flow) *DuplexStream {
	return &DuplexStream{in: newReceiveStream(s, f), out: newSendStream(s, f)}
}

// ID returns the stream's number.
func (d *DuplexStream) ID() uint32 { return d.in.ID() }

// Read is like ReceiveStream.Read, but io.EOF leaves the other direction as it is. On a server a call says that every
// stream announced by what earlier calls returned has been taken.
func (d *DuplexStream) Read(p []byte) (int, error) {
	g := d.in.s.guard
	g.controlWaits()
	n, err := d.in.read(p)
	g.controlTook(n)
	return n, err
}

// Write is like SendStream.Write.
func (d *DuplexStream) Write(p []byte) (int, error) { return d.out.Write(p) }

// CloseWrite is like SendStream.CloseWrite. The peer may go on sending.
func (d *DuplexStream) CloseWrite() error { return d.out.CloseWrite() }
