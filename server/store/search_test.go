package store

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFoldedWords(t *testing.T) {
	for _, test := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{" \t—!", nil},
		{"The the THE", []string{"the"}},
		{"b a c", []string{"a", "b", "c"}},
		{"don't snake_case", []string{"case", "don", "snake", "t"}},
		{"v2.10", []string{"10", "v2"}},
		{"Čapek Ångström naïve", []string{"angstrom", "capek", "naive"}},
		{"e\u0301te\u0301", []string{"ete"}},
		{"Straße STRASSE GROẞ", []string{"gross", "strasse"}},
		{"ﬁn ＡＢＣ①", []string{"abc1", "fin"}},
		{"ΣΟΦΟΣ σοφός", []string{"σοφοσ"}},
		{"İstanbul", []string{"istanbul"}},
		{"שָׁלוֹם", []string{"שלום"}},
		{"مَرْحَبًا", []string{"مرحبا"}},
		{"हिन्दी", []string{"हिन्दी"}},
		{"が か", []string{"か", "か\u3099"}},
		{"漢字かな", []string{"漢字かな"}},
		{"\u0301x", []string{"x"}},
		{strings.Repeat("a", 100), []string{strings.Repeat("a", longestWord)}},
		{strings.Repeat("é", 100), []string{strings.Repeat("e", longestWord)}},
		{strings.Repeat("字", 100), []string{strings.Repeat("字", longestWord/3)}},
		{"\xff\xfeword\xff", []string{"word"}},
	} {
		if got := foldedWords(test.text); !slices.Equal(got, test.want) {
			t.Errorf("%q: %q, want %q", test.text, got, test.want)
		}
	}
}

// Folding what is folded changes nothing, for every character there is.
func TestFoldingTwiceIsFoldingOnce(t *testing.T) {
	for r := rune(0); r <= utf8.MaxRune; r++ {
		for _, w := range foldedWords("a" + string(r)) {
			if again := foldedWords(w); len(again) != 1 || again[0] != w {
				t.Errorf("%U: %q becomes %q", r, w, again)
			}
		}
	}
}

// FuzzFoldedWords: words come out in a form that stays as it is, so that what is stored and what is asked for meet.
func FuzzFoldedWords(f *testing.F) {
	for _, text := range []string{"", "Straße ẞ", "e\u0301\u0345", "ǅ ŉ", "\u1e9e\u0130", "हिन्दी", "ﷺ ½ ㎏", "\xff", strings.Repeat("ä", 70)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		words := foldedWords(text)
		if !slices.IsSorted(words) {
			t.Errorf("%q aren't sorted", words)
		}
		for i, w := range words {
			if w == "" || len(w) > longestWord || !utf8.ValidString(w) || i > 0 && words[i-1] == w {
				t.Errorf("word %d is %q", i, w)
			}
			if again := foldedWords(w); len(again) != 1 || again[0] != w {
				t.Errorf("%q becomes %q", w, again)
			}
		}
	})
}
