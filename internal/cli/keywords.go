package cli

import (
	"errors"
	"maps"
	"slices"
	"strings"
)

// keyword takes the argument of -o: "Key=Value", "Key Value", "Key = Value",
// with blanks in front, any case in the key and quotes around the value.
func (v *invocation) keyword(line string) error {
	typed, value := splitKeyword(line)
	key := strings.ToLower(typed)
	switch act := keywordAction(key); {
	case act == nil && !passiveKeyword(key):
		f := usage("bad configuration option: %s", typed)
		if known := similarKeyword(key); known != "" {
			f.withHint("is it %s? rex -o %s=VALUE HOST command", known, known)
		}
		return f
	case value == "":
		return usage("no argument after -o %s", typed).withHint("rex -o %s=VALUE HOST command", typed)
	case act != nil:
		return spelled(act(v, key, value), key, typed)
	}
	return nil
}

// spelled puts the key in a message as it was typed.
func spelled(err error, key, typed string) error {
	if f, ok := errors.AsType[*failure](err); ok {
		f.msg = strings.Replace(f.msg, "-o "+key, "-o "+typed, 1)
	}
	return err
}

// activeKeywords are those that act, as the help shows them.
const activeKeywords = `AddressFamily BatchMode BindAddress CertificateFile ConnectTimeout EscapeChar
                     GlobalKnownHostsFile HashKnownHosts HostKeyAlias HostName IdentitiesOnly IdentityAgent
                     IdentityFile LogLevel NumberOfPasswordPrompts Port ProxyCommand RemoteCommand RequestTTY
                     RevokedHostKeys SendEnv SetEnv StdinNull StrictHostKeyChecking User UserKnownHostsFile`

// similarKeyword is the one that acts and is nearest to a key of at least four
// letters, within two mistakes; empty if there is none.
func similarKeyword(key string) (best string) {
	least := 3
	for known := range strings.FieldsSeq(activeKeywords) {
		if d := mistakes(key, strings.ToLower(known)); d < least && len(key) >= 4 {
			best, least = known, d
		}
	}
	return best
}

// mistakes is how many letters of a have to be changed, added or taken away to
// make it b.
func mistakes(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// splitKeyword separates the key from the rest of the line.
func splitKeyword(line string) (key, value string) {
	line = strings.Trim(line, " \t\r\n")
	end := strings.IndexAny(line, " \t=")
	if end < 0 {
		return line, ""
	}
	key, value = line[:end], strings.TrimLeft(line[end:], " \t")
	if after, ok := strings.CutPrefix(value, "="); ok {
		value = strings.TrimLeft(after, " \t")
	}
	return key, value
}

// keywordAction returns what a key does, nil if it does nothing.
func keywordAction(key string) func(v *invocation, key, value string) error {
	switch key {
	case "proxycommand", "remotecommand", "localcommand":
		return (*invocation).lineKeyword
	case "localforward", "remoteforward", "dynamicforward":
		return (*invocation).forwardKeyword
	case "sendenv", "setenv":
		return (*invocation).envKeyword
	case "user", "hostname", "port", "proxyjump", "escapechar", "connecttimeout":
		return (*invocation).wordKeyword
	case "loglevel", "requesttty", "sessiontype":
		return (*invocation).choiceKeyword
	case "identityfile", "certificatefile", "userknownhostsfile", "globalknownhostsfile":
		return (*invocation).filesKeyword
	case "identityagent", "revokedhostkeys", "hostkeyalias", "numberofpasswordprompts", "bindaddress":
		return (*invocation).trustKeyword
	case "pubkeyauthentication", "preferredauthentications", "pkcs11provider", "bindinterface":
		return (*invocation).loginKeyword
	case "stricthostkeychecking", "addressfamily":
		return (*invocation).trustChoice
	case "identitiesonly", "hashknownhosts",
		"batchmode", "stdinnull", "clearallforwardings", "permitlocalcommand", "forwardagent", "forkafterauthentication":
		return (*invocation).switchKeyword
	}
	return nil
}

// lineKeyword takes the rest of the line as it is, quotes and all.
func (v *invocation) lineKeyword(key, value string) error {
	switch {
	case key == "proxycommand":
		v.proxyCommand.put(value)
	case key == "localcommand":
		v.localCmd.put(value)
	case value != "none":
		v.remoteCommand.put(value)
	}
	return nil
}

func (v *invocation) forwardKeyword(key, _ string) error {
	v.forward(key)
	return nil
}

func (v *invocation) envKeyword(key, value string) error {
	args, err := splitQuoted(value)
	if err != nil {
		return usage("-o %s: %v", key, err)
	}
	if key == "sendenv" {
		v.sendEnv = append(v.sendEnv, args...)
		return nil
	}
	for _, arg := range args {
		if err := checkEnv(arg); err != nil {
			return usage("-o setenv: %v", err).withHint("rex -o SetEnv=NAME=value HOST command")
		}
	}
	v.setEnv.put(args)
	return nil
}

// oneWord is the only word of a value.
func oneWord(key, value string) (string, error) {
	args, err := splitQuoted(value)
	if err != nil {
		return "", usage("-o %s: %v", key, err)
	}
	if len(args) != 1 {
		return "", usage("-o %s takes one value", key)
	}
	return args[0], nil
}

func (v *invocation) wordKeyword(key, value string) error {
	word, err := oneWord(key, value)
	if err != nil {
		return err
	}
	switch key {
	case "user":
		v.user.put(word)
	case "hostname":
		v.hostName.put(word)
		return checkHost(word)
	case "port":
		port, err := parsePort(word)
		if err != nil {
			return err
		}
		v.port.put(port)
	case "proxyjump":
		v.jump("ProxyJump", word)
	case "escapechar":
		key, err := parseEscape(word)
		if err != nil {
			return err
		}
		v.escape.put(key)
	case "connecttimeout":
		return v.setConnectTimeout(word)
	}
	return nil
}

func (v *invocation) setConnectTimeout(value string) error {
	if strings.EqualFold(value, "none") {
		v.connectTimeout.put(0)
		return nil
	}
	d, err := parseTime(value)
	if err != nil {
		return usage("-o connecttimeout: %v", err).withHint("rex -o ConnectTimeout=10 HOST command")
	}
	v.connectTimeout.put(d)
	return nil
}

func (v *invocation) choiceKeyword(key, value string) error {
	switch key {
	case "loglevel":
		return choose(&v.level, key, value, map[string]int{
			"quiet": levelQuiet, "fatal": levelQuiet, "error": levelQuiet, "info": levelNormal, "verbose": levelVerbose,
			"debug": levelVerbose, "debug1": levelVerbose, "debug2": levelDebug, "debug3": levelTrace,
		})
	case "requesttty":
		return choose(&v.tty, key, value, map[string]ttyRequest{
			"auto": ttyAuto, "no": ttyNo, "false": ttyNo, "yes": ttyYes, "true": ttyYes, "force": ttyForce,
		})
	}
	err := choose(&v.session, key, value, map[string]sessionType{
		"default": sessionDefault, "none": sessionNone, "subsystem": sessionSubsystem,
	})
	if err == nil {
		v.refuseSession()
	}
	return err
}

// switchKeyword takes the keys that are on or off.
func (v *invocation) switchKeyword(key, value string) error {
	if key == "forwardagent" && strings.ContainsAny(value, "/$") {
		value = "yes" // the agent's socket
	}
	var on once[bool]
	if err := choose(&on, key, value, map[string]bool{"yes": true, "true": true, "no": false, "false": false}); err != nil {
		return err
	}
	switch key {
	case "identitiesonly":
		v.identitiesOnly.put(on.value)
	case "hashknownhosts":
		v.hashHosts.put(on.value)
	case "batchmode":
		v.batchMode.put(on.value)
	case "stdinnull":
		v.stdinNull.put(on.value)
	case "clearallforwardings":
		v.noFwd.put(on.value)
	case "permitlocalcommand":
		v.localOK.put(on.value)
	case "forwardagent":
		if on.value {
			v.later('A')
		}
	case "forkafterauthentication":
		if on.value {
			v.later('f')
		}
	}
	return nil
}

// choose takes one of a few words.
func choose[T any](dst *once[T], key, value string, words map[string]T) error {
	word, err := oneWord(key, value)
	if err != nil {
		return err
	}
	chosen, ok := words[strings.ToLower(word)]
	if !ok {
		return usage("-o %s: unknown value %q", key, word).
			withHint("one of: %s", strings.Join(slices.Sorted(maps.Keys(words)), " "))
	}
	dst.put(chosen)
	return nil
}

// passiveKeyword reports whether a key is one of OpenSSH's that rex has no use
// for, or none yet, and of which nobody misses the effect.
func passiveKeyword(key string) bool {
	for known := range strings.FieldsSeq(passiveKeywords) {
		if key == known {
			return true
		}
	}
	return false
}

// passiveKeywords are the keywords of ssh_config(5), obsolete ones included,
// without those of keywordAction.
const passiveKeywords = `
	addkeystoagent afstokenpassing canonicaldomains canonicalizefallbacklocal
	canonicalizehostname canonicalizemaxdots canonicalizepermittedcnames casignaturealgorithms
	challengeresponseauthentication channeltimeout checkhostip cipher ciphers compression compressionlevel
	connectionattempts controlmaster controlpath controlpersist dsaauthentication enableescapecommandline
	enablesshkeysign exitonforwardfailure fallbacktorsh fingerprinthash forwardx11 forwardx11timeout forwardx11trusted
	gatewayports globalknownhostsfile2 gssapiauthentication gssapiclientidentity
	gssapidelegatecredentials gssapikexalgorithms gssapikeyexchange gssapirenewalforcesrekey gssapiserveridentity
	gssapitrustdns host hostbasedacceptedalgorithms hostbasedauthentication hostbasedkeytypes
	hostkeyalgorithms identityfile2 ignoreunknown include ipqos
	kbdinteractiveauthentication kbdinteractivedevices keepalive kerberosauthentication kerberostgtpassing kexalgorithms
	knownhostscommand logverbose macs match nohostauthenticationforlocalhost
	obscurekeystroketiming passwordauthentication permitremoteopen protocol
	protocolkeepalives proxyusefdpass pubkeyacceptedalgorithms pubkeyacceptedkeytypes
	refuseconnection rekeylimit requiredrsasize rhostsauthentication rhostsrsaauthentication
	rsaauthentication securitykeyprovider serveralivecountmax serveraliveinterval setuptimeout skeyauthentication
	smartcarddevice streamlocalbindmask streamlocalbindunlink syslogfacility tag tcpkeepalive
	tisauthentication tunnel tunneldevice updatehostkeys useblacklistedkeys usekeychain useprivilegedport
	userknownhostsfile2 useroaming usersh verifyhostkeydns versionaddendum visualhostkey
	warnweakcrypto xauthlocation`
