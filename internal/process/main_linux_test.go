package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rexec/rex/internal/process/internal/procfs"
)

// leftovers names children and cgroups of this process that are still there.
func leftovers() []string {
	var found []string
	all, _ := procfs.All()
	for _, s := range all {
		if s.Parent == os.Getpid() {
			found = append(found, fmt.Sprintf("child %+v", s))
		}
	}
	own, _ := os.ReadFile("/proc/self/cgroup")
	_, path, _ := strings.Cut(string(own), "0::")
	for _, mount := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		homes, _ := filepath.Glob(fmt.Sprintf("%s/rex.%d.*", filepath.Join(mount, strings.TrimSpace(path)), os.Getpid()))
		found = append(found, homes...)
	}
	return found
}
