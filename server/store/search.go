package store

import (
	"context"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// search is a [chat.SearchQuery] as engines take it: what the user may see is settled, and words are folded.
type search struct {
	conversations []chat.ConversationID // ascending
	words         []string              // all have to occur
	beginnings    []string              // a word that begins so has to occur for each
	before        chat.SearchCursor
	limit         int
}

// SearchMessages is that of [chat.Store]. It sees every message that was acknowledged before it began; while the index is being built
// anew it is unavailable.
func (s *Store) SearchMessages(ctx context.Context, q chat.SearchQuery) ([]chat.Message, error) {
	x := search{before: q.Before, limit: q.Limit}
	for _, w := range q.Words {
		text, beginning := strings.CutSuffix(w, "*")
		folded := foldedWords(text)
		if beginning && len(folded) > 0 {
			last := len(folded) - 1
			x.beginnings = append(x.beginnings, folded[last])
			folded = folded[:last]
		}
		x.words = append(x.words, folded...)
	}
	if len(x.words)+len(x.beginnings) == 0 {
		return nil, nil
	}
	var err error
	if x.conversations, err = s.Memberships(ctx, q.User); err != nil {
		return nil, err
	}
	if q.Conversation != 0 {
		if _, member := slices.BinarySearch(x.conversations, q.Conversation); !member {
			return nil, nil
		}
		x.conversations = []chat.ConversationID{q.Conversation}
	}
	return s.search(ctx, x)
}

// longestWord is how many bytes of a word are looked at.
const longestWord = 64

// foldedWords splits text into its words, each once, in the form in which they are compared: without case, without accents, and without
// differences that are only typographic (full width, ligatures). Both what is stored and what is asked for go through it, so that no
// database's own idea of a word counts.
func foldedWords(text string) []string {
	words := splitWords(text)
	slices.Sort(words)
	return slices.Compact(words)
}

// splitWords does the same, with the words as they come.
func splitWords(text string) []string {
	var words []string
	var word strings.Builder
	flush := func() {
		if word.Len() > 0 {
			words = append(words, clip(word.String()))
			word.Reset()
		}
	}
	for _, r := range decompose(text) {
		switch {
		case r == 'ß' || r == 'ẞ':
			word.WriteString("ss")
		case unicode.IsLetter(r) || unicode.IsNumber(r):
			// By way of the upper case, so that letters with two lower cases (σ and ς) become one.
			word.WriteRune(unicode.ToLower(unicode.ToUpper(r)))
		case unicode.IsMark(r) && word.Len() > 0:
			if !isAccent(r) {
				word.WriteRune(r)
			}
		default:
			flush()
		}
	}
	flush()
	return words
}

func decompose(text string) string {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return norm.NFKD.String(text)
		}
	}
	return text
}

// isAccent reports whether a mark only colours the letter before it: accents, Hebrew points, Arabic vowels. The vowel signs of Indian scripts and the
// voicing marks of kana make another letter; their combining classes are below 10.
func isAccent(r rune) bool {
	var b [utf8.UTFMax]byte
	return norm.NFD.Properties(b[:utf8.EncodeRune(b[:], r)]).CCC() >= 10
}

// clip cuts a word to longestWord bytes, at a character's end.
func clip(word string) string {
	if len(word) <= longestWord {
		return word
	}
	end := longestWord
	for !utf8.RuneStart(word[end]) {
		end--
	}
	return word[:end]
}
