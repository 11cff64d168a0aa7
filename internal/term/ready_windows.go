package term

import "os"

// WaitReadable is not needed: reads block.
func WaitReadable(*os.File) error { return nil }

// Blocks is always true.
func Blocks(*os.File) bool { return true }

// WaitWritable is not needed: writes block.
func WaitWritable(*os.File) error { return nil }
