package session

// Greeted reports whether the server's hello has come.
func (c *Client) Greeted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hello != nil
}
