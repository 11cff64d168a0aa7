package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/rexec/rex/session"
)

// longFlags are rex's own options; ssh has none with two dashes, so that these
// names are free.
func longFlags(o *options) *pflag.FlagSet {
	set := pflag.NewFlagSet("rex", pflag.ContinueOnError)
	set.Func("timeout", "end the command after `TIME`, with status 124", o.setTimeout)
	set.Func("drain", "after the command exited wait at most `TIME` for output of what it left behind", o.setDrain)
	set.Func("orphan", "what becomes of the command when the connection ends first, `WHAT`: kill or keep", o.setOrphan)
	set.Func("dir", "run in the directory `PATH`, relative to the home directory", func(s string) error { o.dir = s; return nil })
	set.Func("env", "set a variable, `NAME=VALUE`; may be repeated", o.addEnv)
	set.Func("status-file", "write how the command ended to `FILE`, as JSON", o.setStatusFile)
	set.Func("log-level", "how much rex says, `LEVEL`: error, warn, info or debug", o.setLogLevel)
	set.BoolFunc("json", "print rex's own output as JSON", func(s string) error { return setBool(&o.json, s) })
	set.BoolFunc("version", "print the version", func(s string) error { return setBool(&o.version, s) })
	set.BoolFunc("help", "print how rex is used", func(s string) error { return setBool(&o.help, s) })
	return set
}

func setBool(dst *bool, s string) error {
	if s != "true" && s != "false" {
		return fmt.Errorf("takes no value but true or false, not %q", s)
	}
	*dst = s == "true"
	return nil
}

func (o *options) setTimeout(s string) (err error) {
	o.timeout, err = parseDuration(s)
	return err
}

// setDrain maps "not at all" to what session calls so.
func (o *options) setDrain(s string) error {
	d, err := parseDuration(s)
	if err == nil && d == 0 {
		d = -time.Nanosecond
	}
	o.drain = d
	return err
}

func (o *options) setOrphan(s string) error {
	if s != string(session.OrphanKill) && s != string(session.OrphanKeep) {
		return fmt.Errorf("unknown value %q: kill or keep", s)
	}
	o.orphan = session.Orphan(s)
	return nil
}

func (o *options) addEnv(s string) error {
	o.env = append(o.env, s)
	return checkEnv(s)
}

func (o *options) setStatusFile(s string) error {
	if s == "" {
		return errors.New("no name")
	}
	o.statusFile = s
	return nil
}

func (o *options) setLogLevel(s string) error {
	levels := map[string]int{"error": levelQuiet, "warn": levelNormal, "info": levelVerbose, "debug": levelTrace}
	level, ok := levels[strings.ToLower(s)]
	if !ok {
		return fmt.Errorf("unknown level %q: error, warn, info or debug", s)
	}
	o.level = once[int]{level, true}
	return nil
}
