//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "longlink: error: it needs Linux")
	os.Exit(1)
}
