package term

import "os"

// WaitReadable is not needed: reads block.
func WaitReadable(*os.File) error { return nil }

// WaitWritable is not needed: writes block.
func WaitWritable(*os.File) error { return nil }
