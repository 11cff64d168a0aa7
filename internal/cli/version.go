package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/rexec/rex/proto"
)

// versionRecord is what rex version --json prints.
type versionRecord struct {
	Version  string `json:"version"`  // of the module, "devel" for a build from a working tree
	Revision string `json:"revision"` // of the source, empty if unknown
	Protocol int    `json:"protocol"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

func readVersion() versionRecord {
	v := versionRecord{
		Version: "devel", Protocol: proto.Version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Revision = s.Value
		}
	}
	return v
}

func (v versionRecord) String() string {
	return fmt.Sprintf("rex %s, protocol %d, %s/%s, %s", v.Version, v.Protocol, v.OS, v.Arch, v.Go)
}

// printVersionShort answers --version on stdout, and -V on stderr, where
// programs that call ssh look for it.
func (p *program) printVersionShort(inv *invocation) int {
	line := readVersion().String() + "\n"
	if !inv.letterV {
		return p.print(line)
	}
	_, _ = io.WriteString(p.env.Stderr, line)
	return 0
}

// printVersion is rex version.
func (p *program) printVersion(asJSON bool) int {
	v := readVersion()
	if !asJSON {
		return p.print(v.String() + "\n")
	}
	line, err := json.Marshal(v)
	if err != nil {
		p.ui.fail(fail(howUsage, "%v", err))
		return statusOwn
	}
	return p.print(string(line) + "\n")
}
