package cli

import (
	"slices"
	"strconv"
	"strings"

	"github.com/rexec/rex/internal/login"
)

// The keywords about keys and hosts. What they say is for package login.

// filesKeyword takes names of files, of which "none" is none at all.
func (v *invocation) filesKeyword(key, value string) error {
	files, err := splitQuoted(value)
	if err != nil {
		return usage("-o %s: %v", key, err)
	}
	switch key {
	case "userknownhostsfile":
		v.userHosts.put(files)
		return nil
	case "globalknownhostsfile":
		v.globalHosts.put(files)
		return nil
	}
	if len(files) != 1 {
		return usage("-o %s takes one value", key)
	}
	if key == "identityfile" {
		v.identityFiles = append(v.identityFiles, files[0])
	} else {
		v.certificateFiles = append(v.certificateFiles, files[0])
	}
	return nil
}

func (v *invocation) trustKeyword(key, value string) error {
	word, err := oneWord(key, value)
	if err != nil {
		return err
	}
	switch key {
	case "identityagent":
		v.identityAgent.put(word)
	case "revokedhostkeys":
		v.revokedHosts.put(word)
	case "hostkeyalias":
		v.hostAlias.put(word)
	case "numberofpasswordprompts":
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return usage("-o %s: bad number %q", key, word).withHint("rex -o NumberOfPasswordPrompts=3 HOST command")
		}
		v.passwordPrompts.put(n)
	case "bindaddress":
		v.bindAddress.put(word)
	}
	return nil
}

// loginKeyword takes keys of which some values ask for another login than rex
// makes. As of all keys the first value counts.
func (v *invocation) loginKeyword(key, value string) error {
	word, err := oneWord(key, value)
	if err != nil || slices.Contains(v.decided, key) {
		return err
	}
	v.decided = append(v.decided, key)
	word = strings.ToLower(word)
	switch {
	case key == "pubkeyauthentication" && (word == "no" || word == "false"):
		v.noLogin.put(usage("-o PubkeyAuthentication=no leaves nothing: rex logs in with public keys only").
			withHint("rex -o PubkeyAuthentication=yes HOST command"))
	case key == "preferredauthentications" && !slices.Contains(strings.Split(word, ","), "publickey"):
		v.noLogin.put(usage("-o PreferredAuthentications=%s leaves nothing: rex logs in with public keys only", value).
			withHint("rex -o PreferredAuthentications=publickey HOST command"))
	case key == "pkcs11provider" && word != "none":
		v.noLogin.put(notYet("-I and PKCS11Provider are", "let the agent have the keys: ssh-add -s %s", shellQuote(value)))
	case key == "bindinterface" && word != "none":
		v.noLogin.put(notYet("-B and BindInterface are", "-b takes an address: rex -b ADDRESS HOST command"))
	}
	return nil
}

func (v *invocation) trustChoice(key, value string) error {
	if key == "addressfamily" {
		return choose(&v.network, key, value, map[string]string{"any": "tcp", "inet": "tcp4", "inet6": "tcp6"})
	}
	return choose(&v.strict, key, value, map[string]login.Strict{
		"yes": login.StrictYes, "true": login.StrictYes, "ask": login.StrictAsk, "accept-new": login.StrictAcceptNew,
		"no": login.StrictNo, "false": login.StrictNo, "off": login.StrictNo,
	})
}
