//go:build unix && !darwin

package account

import "context"

// switchless: accounts beyond files are in nsswitch.conf.
const switchless = false

// askPasswd asks for a line of passwd(5).
func (s source) askPasswd(ctx context.Context, key string) (string, error) {
	return s.getent(ctx, "passwd", key)
}
