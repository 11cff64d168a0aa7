// Package muxtest runs one test over every kind of connection, and breaks connections in every way that a session
// has to survive or report.
package muxtest
