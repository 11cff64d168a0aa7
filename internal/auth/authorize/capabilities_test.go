//go:build unix

package authorize

import (
	"reflect"
	"testing"

	"github.com/rexec/rex/internal/auth"
	"github.com/rexec/rex/internal/auth/authkeys"
)

// capabilityNames are the fields of authkeys.Capabilities, all of them switches.
func capabilityNames(t *testing.T) (names []string) {
	t.Helper()
	for f := range reflect.TypeFor[authkeys.Capabilities]().Fields() {
		if f.Type.Kind() != reflect.Bool {
			t.Errorf("%s is no switch", f.Name)
		}
		names = append(names, f.Name)
	}
	return names
}

// grantOf is the field of a certificate's grant for a capability.
func grantOf(t *testing.T, g *auth.CertGrant, capability string) reflect.Value {
	t.Helper()
	v := reflect.ValueOf(g).Elem()
	for _, name := range []string{capability, "Permit" + capability} {
		if f := v.FieldByName(name); f.IsValid() {
			return f
		}
	}
	t.Fatalf("a certificate grants no %s: what a login may do it must be able to withhold", capability)
	return reflect.Value{}
}

// TestCertificateWithholds: every capability that there is, and that there will
// be, is taken away by a line or a certificate without it, and nothing else is.
func TestCertificateWithholds(t *testing.T) {
	cert := newAuthority(t).sign(t, nil)
	names := capabilityNames(t)
	for _, missing := range append(names, "") {
		for _, byLine := range []bool{true, false} {
			d, g := everything(), &auth.CertGrant{}
			for _, name := range names {
				grantOf(t, g, name).SetBool(byLine || name != missing)
				if !reflect.ValueOf(d.Capabilities).FieldByName(name).Bool() {
					t.Errorf("everything is without %s", name)
				}
			}
			if byLine && missing != "" {
				reflect.ValueOf(&d.Capabilities).Elem().FieldByName(missing).SetBool(false)
			}
			if err := d.restrict(cert, g); err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				if got := reflect.ValueOf(d.Capabilities).FieldByName(name).Bool(); got != (name != missing) {
					t.Errorf("without %q by line %v: %s is %v", missing, byLine, name, got)
				}
			}
		}
	}
}
