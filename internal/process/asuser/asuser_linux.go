package asuser

import (
	"errors"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// onOwnThread calls f on a thread that has taken on the identity. Its goroutine
// ends with f.
func onOwnThread(id Identity, f func()) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if unix.Gettid() == unix.Getpid() {
			// The main thread cannot end, and its rights are what /proc shows as the
			// process's. While it waits here the next goroutine is on another one.
			defer runtime.UnlockOSThread()
			result <- onOwnThread(id, f)
			return
		}
		err := take(id)
		if err == nil {
			f()
		}
		result <- err
	}()
	return <-result
}

// take gives this thread alone the identity, and checks that it has it: the
// setfs calls report no errors.
func take(id Identity) error {
	groups := make([]int, len(id.Groups))
	for i, g := range id.Groups {
		groups[i] = int(g)
	}
	if err := unix.Setgroups(groups); err != nil { // of the thread, unlike syscall.Setgroups
		return os.NewSyscallError("setgroups", err)
	}
	if err := unix.Setfsgid(int(id.GID)); err != nil {
		return os.NewSyscallError("setfsgid", err)
	}
	if err := unix.Setfsuid(int(id.UID)); err != nil {
		return os.NewSyscallError("setfsuid", err)
	}
	if err := dropCapabilities(); err != nil {
		return err
	}
	uid, errUID := unix.SetfsuidRetUid(-1)
	gid, errGID := unix.SetfsgidRetGid(-1)
	if errUID != nil || errGID != nil || uint32(uid) != id.UID || uint32(gid) != id.GID {
		return errors.New("the kernel did not take the user's ids")
	}
	return nil
}

// dropCapabilities gives up every capability of this thread. Those for files
// went with root's fsuid, unless the securebits say otherwise.
func dropCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none, now [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return os.NewSyscallError("capset", err)
	}
	if err := unix.Capget(&header, &now[0]); err != nil {
		return os.NewSyscallError("capget", err)
	}
	if now != none {
		return errors.New("the kernel left capabilities")
	}
	return nil
}
