// Package process starts commands exactly as asked and never loses hold of what they start.
//
// A [Spawner] starts commands; a [Process] is one running command with its
// pipes or its terminal. The package promises four things:
//
//   - Exact start. Arguments, environment and directory arrive byte for byte.
//     The command leads its own session and process group, has no descriptors
//     but 0, 1 and 2, default signal dispositions and an empty signal mask.
//   - Exact end. [Process.Wait] reports what the kernel reported, and says so
//     when that is unknown. Only the command's own pid is ever waited for, so
//     os/exec may be used beside this package.
//   - The whole tree. [Process.End] and [Process.Kill] return when nothing but
//     zombies is left of the command and of everything it started, including
//     children that called setsid and were double-forked.
//   - Nothing left by accident. If the program that uses this package dies,
//     the commands it ran are killed, unless they were started with Spec.Keep
//     or had been released.
//
// The last two need help from the kernel, which is found in one of three
// modes, chosen once per Spawner and named by [Spawner.Mode]:
//
//   - [ModeCgroup]: every command runs in a cgroup2 leaf of its own. What a dead
//     program left is killed when the next one, in the same cgroup, calls
//     [NewSpawner].
//   - [ModeKeeper]: every command is the child of a keeper, a small helper
//     process that is a subreaper (PR_SET_CHILD_SUBREAPER in prctl(2)). It
//     kills the command itself when it sees the program die.
//   - [ModeGroup]: the process group and, on Linux, the session only. A child
//     that calls setsid escapes, and everything does when the program dies.
//
// Goroutines: each running command has one that waits for its end, parked in
// the runtime's poller on Linux (no thread is held). A command held by a keeper
// has one more that reads the keeper's messages. All of them end when the
// command and its keeper have ended.
package process
