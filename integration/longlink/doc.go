// Command longlink puts two network namespaces at the two ends of a long way,
// so that tests and benchmarks have real TCP over a real round trip on one
// machine, on kernels without a queueing discipline that delays packets.
//
//	longlink -rtt 50ms -near rexnear -far rexfar
//
// The namespace near has the address 10.91.0.1 and far 10.91.0.2. It prints
// "ready" when both can be used, and takes them down again when its standard
// input ends, so that they go when whoever started it does. SIGUSR1 cuts the
// link, so that packets vanish, and SIGUSR2 mends it. It needs root and ip(8).
package main
