package account

import (
	"context"
	"errors"
	"os/exec"
	"strings"
)

// switchless: the directory services have accounts, and there is no
// nsswitch.conf.
const switchless = true

// askPasswd asks for a line of passwd(5): there is no getent, and id -P prints
// one in the form of master.passwd(5), which has three fields more.
func (s source) askPasswd(ctx context.Context, key string) (string, error) {
	out, err := s.run(ctx, "id", "-P", key)
	if _, ok := errors.AsType[*exec.ExitError](err); ok && ctx.Err() == nil {
		return "", ErrNotFound
	}
	field := strings.Split(out, ":")
	if err != nil || len(field) != 10 {
		return out, err
	}
	return strings.Join(append(field[:4:4], field[7:]...), ":"), nil
}
