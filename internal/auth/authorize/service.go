//go:build unix

package authorize

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/rexec/rex/internal/auth"
)

// internalService begins a forced command that binds a login to a service, after
// the model of sshd's internal-sftp. To sshd it is a program that does not exist.
const internalService = "internal-service"

// Bind binds the login to a service. It fails if the login is bound to something
// else already, which it then stays.
func (d *Decision) Bind(service string) error {
	if d.Command != nil && d.Service != service {
		return fmt.Errorf("the login is bound to the service %q, and by %s to %q", service, cmp.Or(d.Source, "another rule"), *d.Command)
	}
	command := internalService + " " + service
	d.Command, d.Service, d.Exact = &command, service, false
	return nil
}

// bind reads what binds a decision about the key to a service: its forced
// command, and what the configuration says of the key.
func (p *Policy) bind(d *Decision, key *auth.Key) error {
	if d.Command != nil {
		word, name, _ := strings.Cut(strings.Join(strings.Fields(*d.Command), " "), " ")
		if word == internalService && (name == "" || strings.Contains(name, " ")) {
			return errors.New("the forced command is not " + internalService + " NAME")
		}
		if word == internalService {
			d.Service = name
		}
	}
	keys := []*auth.Key{key}
	if key.IsCert() {
		keys = append(keys, key.Authority())
	}
	for _, k := range keys {
		service, ok := p.cfg.ServiceKeys[k.Fingerprint()]
		if !ok {
			continue
		}
		if err := d.Bind(service); err != nil {
			return err
		}
	}
	return nil
}
