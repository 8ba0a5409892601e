package account

import (
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// The limits of the schema, which its rules enforce on what comes from outside. They are kept here too, because not every caller comes from there.
const (
	maxUsernameRunes = 32
	minPasswordRunes = 8
	maxPasswordBytes = 256
	maxNameRunes     = 64
	maxURLBytes      = 2048
)

var (
	usernamePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{2,31}$`)
	avatarPattern   = regexp.MustCompile("^https://[^\\s\"<>\\\\^`{|}\\x00-\\x20\\x7f]+$")
)

func checkUsername(s string) error {
	if !usernamePattern.MatchString(s) {
		return chat.Invalid("username", `username has to be 3 to 32 of a-z, A-Z, 0-9, ".", "_" and "-", beginning with a letter or digit`)
	}
	return nil
}

// usernameKey is what is unique about a username. Usernames are ASCII.
func usernameKey(username string) string { return strings.ToLower(username) }

func checkPassword(p Secret, field string) error {
	s := p.Reveal()
	switch {
	case !utf8.ValidString(s):
		return chat.Invalid(field, field+" has to be text in UTF-8")
	case utf8.RuneCountInString(s) < minPasswordRunes:
		return chat.Invalid(field, field+" has to have 8 characters at least")
	case len(s) > maxPasswordBytes:
		return chat.Invalid(field, field+" has to have 256 bytes at most")
	}
	return nil
}

// checkAnyPassword checks what is compared with a password.
func checkAnyPassword(p Secret, field string) error {
	if len(p.Reveal()) > maxPasswordBytes {
		return chat.Invalid(field, field+" has to have 256 bytes at most")
	}
	return nil
}

// cleanDisplayName returns a display name without white space around it; what shows nothing is refused.
func cleanDisplayName(s string) (string, error) {
	if err := checkName(s, "display_name"); err != nil {
		return "", err
	}
	s = strings.TrimSpace(s)
	if !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsGraphic(r) && !unicode.IsSpace(r) && !unicode.Is(unicode.M, r) }) {
		return "", chat.Invalid("display_name", "display_name has to show something")
	}
	return s, nil
}

// checkName checks what people name something.
func checkName(s, field string) error {
	switch {
	case !utf8.ValidString(s):
		return chat.Invalid(field, field+" has to be text in UTF-8")
	case utf8.RuneCountInString(s) > maxNameRunes:
		return chat.Invalid(field, field+" has to have 64 characters at most")
	case strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
	}):
		return chat.Invalid(field, field+" must not have control or direction-override characters")
	}
	return nil
}

func checkAvatarURL(s string) error {
	if s == "" {
		return nil
	}
	ok := len(s) <= maxURLBytes && utf8.ValidString(s) && avatarPattern.MatchString(s)
	if ok {
		u, err := url.Parse(s)
		ok = err == nil && u.Hostname() != "" && u.User == nil
	}
	if !ok {
		return chat.Invalid("avatar_url", "avatar_url has to be an https URL of 2,048 bytes at most, without a user in it, or empty")
	}
	return nil
}
