package main

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain text":                         "plain text",
		"two\nlines\r\nthree":                "two\nlines\nthree",
		"\ttab":                              "    tab",
		"\x1b[31mred\x1b[0m \x1b]0;title\a!": "[31mred[0m ]0;title!",
		"bell\a nul\x00 del\x7f csi\u009b":   "bell nul del csi",
		"\u202eright to left\u202c \u2066x":  "right to left x",
		"zero\u200bwidth\ufeff soft\u00ad":   "zerowidth soft",
		"line\u2028para\u2029":               "line\npara\n",
		"é ü ñ":                              "é ü ñ",
		"e\u0301":                            "e\u0301",
		"z" + strings.Repeat("\u0301", 100):  "z" + strings.Repeat("\u0301", maxMarks),
		"👩‍👩‍👧‍👦 👩🏽‍🚀 ❤️ 🇩🇪":              "👩‍👩‍👧‍👦 👩🏽‍🚀 ❤️ 🇩🇪",
		"🏴\U000e0067\U000e0062\U000e007f": "🏴\U000e0067\U000e0062\U000e007f",
		"3\ufe0f x\u200dy \ufe0f":         "3 xy ",
		"नमस्ते क्\u200dष می\u200cخواهم":  "नमस्ते क्\u200dष می\u200cخواهم",
		"שלום עולם":                       "שלום עולם",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
	if got := cleanLine("  a \n\n b\t c "); got != "a b c" {
		t.Errorf("cleanLine: %q", got)
	}
	if clip("hello", 0) != "" || clip("hello", 3) != "he…" || clip("hello", 5) != "hello" {
		t.Error("clip")
	}
}

func FuzzClean(f *testing.F) {
	f.Add("plain")
	f.Add("\x1b[2J\u202e\u0301\u200d\ufe0f\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s)
		if !utf8.ValidString(got) {
			t.Fatalf("not UTF-8: %q", got)
		}
		for _, r := range got {
			if r != '\n' && (unicode.IsControl(r) || bidiControl(r)) {
				t.Fatalf("%q has %q", got, r)
			}
		}
		if again := clean(got); again != got {
			t.Fatalf("clean again changes %q to %q", got, again)
		}
		for _, width := range []int{1, 7, 40} {
			if w := ansi.StringWidth(clip(cleanLine(got), width)); w > width {
				t.Fatalf("clipped to %d, want %d: %q", w, width, got)
			}
		}
	})
}
