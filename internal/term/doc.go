// Package term is rex's only way to the terminal it was started on: raw mode
// that is always undone, the window's size, and being stopped and continued
// by job control without leaving the terminal raw.
package term
