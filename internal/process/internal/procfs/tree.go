//go:build linux

package procfs

// Descendants returns those of all that descend from the process root, without
// root itself. A process whose parents have ended descends from whoever
// adopted it: init, or the nearest subreaper.
func Descendants(all []Stat, root int) []Stat {
	children := make(map[int][]Stat, len(all))
	for _, s := range all {
		children[s.Parent] = append(children[s.Parent], s)
	}
	var found []Stat
	seen := map[int]bool{root: true} // parents may have changed while all was read: no loops
	for queue := []int{root}; len(queue) > 0; queue = queue[1:] {
		for _, child := range children[queue[0]] {
			if !seen[child.Pid] {
				seen[child.Pid] = true
				found = append(found, child)
				queue = append(queue, child.Pid)
			}
		}
	}
	return found
}
