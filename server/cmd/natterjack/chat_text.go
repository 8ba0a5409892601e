package main

import (
	"strings"
	"unicode"

	"github.com/charmbracelet/x/ansi"
)

// maxMarks is how many combining marks in a row are shown: more than any script needs, fewer than it takes to cover other lines.
const maxMarks = 8

// clean makes text from others fit to be shown: nothing in it can move the cursor, change colours, turn the writing direction of what
// follows, or pile up. Line breaks stay; tabs become spaces.
func clean(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	marks, before := 0, rune(0) // before is the last rune that was kept
	for _, r := range s {
		if unicode.In(r, unicode.Mn, unicode.Me) && !selector(r) {
			marks++
		} else {
			marks = 0
		}
		switch {
		case r == '\t':
			b.WriteString("    ")
			before = ' '
			continue
		case r == '\u2028' || r == '\u2029' || r == '\v' || r == '\f':
			r = '\n'
		case r == '\n':
		case marks > maxMarks || unicode.IsControl(r) || bidiControl(r) || !keeps(before, r):
			continue
		}
		b.WriteRune(r)
		before = r
	}
	return b.String()
}

// keeps reports whether a rune that is not to be seen itself may follow the one before. After most, terminals don't agree on what it does to the
// width; and what is never to be seen may hide something.
func keeps(before, r rune) bool {
	switch {
	case selector(r) || tagRune(r):
		return before > unicode.MaxLatin1 && unicode.IsSymbol(before) || tagRune(before)
	case joiner(r):
		return before > unicode.MaxLatin1 && !unicode.IsSpace(before)
	default:
		return !unicode.Is(unicode.Cf, r)
	}
}

// cleanLine is clean for what has to stay on one line.
func cleanLine(s string) string {
	return strings.Join(strings.Fields(clean(s)), " ")
}

// bidiControl reports whether a rune changes the direction of others.
func bidiControl(r rune) bool {
	return r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' || r == '\u200e' || r == '\u200f' || r == '\u061c'
}

// selector reports whether a rune chooses between the forms of the one before: text or emoji.
func selector(r rune) bool { return r >= '\ufe00' && r <= '\ufe0f' }

// joiner reports whether a rune joins its neighbours, or keeps them apart.
func joiner(r rune) bool { return r == '\u200d' || r == '\u200c' }

// tagRune reports whether a rune is part of a flag emoji's spelling.
func tagRune(r rune) bool { return r >= 0xe0020 && r <= 0xe007f }

// clip shortens text to a width in cells.
func clip(s string, width int) string {
	if width <= 0 {
		return ""
	}
	return ansi.Truncate(s, width, "…")
}

// wrapText breaks text into lines of at most width cells, at spaces where there are some.
func wrapText(s string, width int) []string {
	return strings.Split(ansi.Wrap(s, max(width, 1), ""), "\n")
}
