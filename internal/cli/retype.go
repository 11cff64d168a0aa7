package cli

import (
	"slices"
	"strings"
	"unicode"
)

// rivals are the options that would beat an option although it comes before
// them, or that it is in place of.
func rivals(option string) []string {
	return map[string][]string{
		"-v": {"-q", "--log-level"}, "-T": {"-t"}, "-4": {"-6"}, "-6": {"-4"}, "-p": {"-o port"}, "--status-file": {"--json"},
	}[option]
}

// retype is the command line once more, to be typed into a shell: with some
// options more, which stand in front, and without those that would beat them.
// The words are the command's, or of another one.
func (v *invocation) retype(exact bool, words []string, more ...string) string {
	line := []string{"rex"}
	switch {
	case exact:
		line = append(line, verbExec)
	case v.service:
		line = append(line, verbService)
	}
	plain := len(line) == 1
	line = append(line, more...)
	replaced := replacedBy(more)
	ended := plain && v.hostAt == 0 && len(more) == 0 && isSubcommand(v.target.text)
	if ended {
		line = append(line, "--")
	}
	for i, option := range append(v.given, nil) {
		if i == v.hostAt {
			line = append(line, v.hostText(slices.Contains(replaced, "-p")))
		}
		if option != nil && !slices.Contains(replaced, optionName(option)) {
			line = append(line, withoutValues(option)...)
		}
	}
	if len(words) > 0 && len(words[0]) > 1 && words[0][0] == '-' && !ended {
		line = append(line, "--")
	}
	for i, word := range line {
		line[i] = shellQuote(word)
	}
	return strings.Join(append(line, quoteCommand(words)...), " ")
}

// without is the command line without some options.
func (v *invocation) without(names ...string) *invocation {
	rest := *v
	rest.given = nil
	for i, option := range v.given {
		if !slices.Contains(names, optionName(option)) {
			rest.given = append(rest.given, option)
		} else if i < v.hostAt {
			rest.hostAt--
		}
	}
	return &rest
}

// replacedBy are the names of the options that do not stand beside some others.
func replacedBy(more []string) (names []string) {
	for i, word := range more {
		if strings.HasPrefix(word, "-") {
			name := optionName(more[i:])
			names = append(append(names, name), rivals(name)...)
		}
	}
	return names
}

// optionName is an option without its value; of -o it has the key.
func optionName(option []string) string {
	if option[0] == "-o" && len(option) > 1 {
		key, _ := splitKeyword(option[1])
		return "-o " + strings.ToLower(key)
	}
	name, _, _ := strings.Cut(option[0], "=")
	return name
}

// withoutValues is an option without the values of variables, which may be
// secret.
func withoutValues(option []string) []string {
	hide := func(text string) string {
		name, _, _ := strings.Cut(text, "=")
		return name + "=…"
	}
	if text, ok := strings.CutPrefix(option[0], "--env="); ok {
		return []string{"--env=" + hide(text)}
	}
	if optionName(option) != "-o setenv" {
		return option
	}
	_, value := splitKeyword(option[1])
	words, _ := splitQuoted(value) // was taken before
	for i, word := range words {
		words[i] = hide(word)
	}
	return []string{"-o", "SetEnv=" + strings.Join(words, " ")}
}

// hostText is the host as it was typed, or without its port.
func (v *invocation) hostText(portless bool) string {
	if t := v.target; portless && t.port != 0 {
		return strings.TrimPrefix(t.user+"@"+t.host, "@")
	}
	return v.target.text
}

// maxRetyped bounds how much of a command is shown to be typed again, in bytes.
const maxRetyped = 500

// quoteCommand quotes the words of a command. One that is long, or not of one
// line, has a word in its place.
func quoteCommand(words []string) []string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = shellQuote(word)
	}
	text := strings.Join(quoted, " ")
	if len(text) > maxRetyped || strings.ContainsFunc(text, unicode.IsControl) {
		return []string{"COMMAND"}
	}
	return quoted
}

// again is the whole command line, with more options.
func (r *runner) again(more ...string) string { return r.inv.retype(r.exact, r.inv.words, more...) }

// instead is the command line with a command for the login shell in place of
// its own, and without the file of its status. The words go through two shells.
func (v *invocation) instead(words ...string) string {
	for i, word := range words {
		words[i] = shellQuote(word)
	}
	plain := v.without("--status-file", "-o remotecommand", "-s", "-o sessiontype")
	plain.service = false
	return plain.retype(false, words)
}

// shellQuote makes a word that a shell reads as it is: also zsh, which looks
// for files for [ and for programs for = in front, and ! in double quotes.
func shellQuote(word string) string {
	safe := func(r rune) bool {
		return r == '_' || '0' <= r && r <= '9' || 'a' <= r|0x20 && r|0x20 <= 'z' || strings.ContainsRune("@%+=:,./-…", r)
	}
	if word != "" && word[0] != '=' && !strings.ContainsFunc(word, func(r rune) bool { return !safe(r) }) {
		return word
	}
	if strings.Contains(word, "'") && !strings.ContainsAny(word, "\"$`\\!") {
		return `"` + word + `"`
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
