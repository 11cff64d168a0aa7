//go:build linux

// Package cgroup holds the process tree of a command in a cgroup2 directory of
// its own, where nothing that the command starts gets out of by itself.
//
// The layout, below the cgroup that this program runs in:
//
//	rex.<pid>.<start time>.<pid namespace>.<n>/    one Home per spawner
//	        <number>-kill/                         one Leaf per command,
//	        <number>-keep/                         its orphan policy in its name
//
// No controller is enabled: the directories only say who belongs to whom. See
// cgroups(7) and Documentation/admin-guide/cgroup-v2.rst of the kernel.
//
// A process with the right to write cgroup.procs files (root, or the same user
// below a delegated cgroup) can move itself out. That is beyond what this
// package holds.
package cgroup
