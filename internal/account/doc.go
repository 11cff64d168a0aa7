// Package account knows the accounts of this machine: who a user is, whether he may log in now, and what his files say.
//
// A static Go program cannot ask the C library, so /etc/passwd, /etc/group and
// /etc/shadow are read here, and getent(1) and id(1) answer for the directory
// services that nsswitch.conf(5) names. Files of a user are read with the
// rights of that user.
//
// Its goroutines are those of [Account.ReadFile], which says who owns them.
package account
