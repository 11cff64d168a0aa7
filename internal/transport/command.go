package transport

// A CommandConn is a connection to the standard input and output of a command.
type CommandConn struct {
	conn  Conn
	child *child
}

// Read reads what the command writes; io.EOF after it closed its standard
// output.
func (c *CommandConn) Read(p []byte) (int, error) { return c.conn.Read(p) }

// Write writes to the command's standard input.
func (c *CommandConn) Write(p []byte) (int, error) { return c.conn.Write(p) }

// CloseWrite ends the command's standard input.
func (c *CommandConn) CloseWrite() error { return c.conn.CloseWrite() }

// Close closes the connection at once; see [DialCommand].
func (c *CommandConn) Close() error {
	err := c.conn.Close()
	c.child.dismiss()
	return err
}

// Exited is closed when the command has ended and was waited for.
func (c *CommandConn) Exited() <-chan struct{} { return c.child.exited }

// ExitErr is what Wait of the command returned; nil before Exited.
func (c *CommandConn) ExitErr() error { return c.child.exitErr() }
