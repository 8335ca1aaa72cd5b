package files

import (
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/brainseg/brainseg/internal/volume"
)

// PatientWords are the parts of patients' names and numbers, in lower case. File
// names are often made of them.
type PatientWords struct {
	words []string
	// many tells that there are more words than are kept, so that any text may
	// hold one.
	many bool
}

// mostWords bounds the words that are kept.
const mostWords = 1000

// The lengths from which a part of a name, or of digits alone, counts: shorter ones
// are in many file names by chance.
const (
	shortestWord   = 3
	shortestNumber = 5
)

// Add takes in a patient's name or number. Text that is no UTF-8 is taken for
// ISO 8859-1, as most of it is; file names are UTF-8.
func (p *PatientWords) Add(texts []string) {
	for _, text := range texts {
		if !utf8.ValidString(text) {
			runes := make([]rune, len(text))
			for i := range len(text) {
				runes[i] = rune(text[i])
			}
			text = string(runes)
		}
		for _, word := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
			return strings.ContainsRune("^=\\ ,._-\x00\t", r)
		}) {
			least := shortestWord
			if strings.Trim(word, "0123456789") == "" {
				least = shortestNumber
			}
			if len(word) < least || p.many || slices.Contains(p.words, word) {
				continue
			}
			if p.many = len(p.words) == mostWords; !p.many {
				p.words = append(p.words, word)
			}
		}
	}
}

// shows tells whether text holds one of the words, as far as they are known.
func (p *PatientWords) shows(text string) bool {
	if p.many {
		return true
	}
	text = strings.ToLower(text)
	return slices.ContainsFunc(p.words, func(word string) bool { return strings.Contains(text, word) })
}

// File returns the name of a file, without the parts of its path that hold one
// of the words.
func (p *PatientWords) File(name string) string {
	if name == "" || !p.shows(name) {
		return name
	}
	parts := strings.Split(name, "/")
	for i, part := range parts {
		if p.shows(part) {
			parts[i] = "(name withheld)"
			if ext := path.Ext(part); len(ext) <= 4 && !p.shows(ext) {
				parts[i] += ext
			}
		}
	}
	return strings.Join(parts, "/")
}

// Hide returns a sentence with the file names in it, which are in quotation
// marks, as file does.
func (p *PatientWords) Hide(sentence string) string {
	if !strings.Contains(sentence, `"`) {
		return sentence
	}
	parts := strings.Split(sentence, `"`)
	for i := 1; i < len(parts); i += 2 {
		parts[i] = p.File(parts[i])
	}
	return strings.Join(parts, `"`)
}

// LeftOut collects files by the reason why they are not part of the volume.
type LeftOut struct{ reasons []volume.LeftOut }

// shownFiles is how many files are named for each reason.
const shownFiles = 10

// Add takes in a file and the reason.
func (l *LeftOut) Add(reason, file string) {
	i := slices.IndexFunc(l.reasons, func(o volume.LeftOut) bool { return o.Reason == reason })
	if i < 0 {
		i = len(l.reasons)
		l.reasons = append(l.reasons, volume.LeftOut{Reason: reason})
	}
	l.reasons[i].Count++
	if len(l.reasons[i].Files) < shownFiles {
		l.reasons[i].Files = append(l.reasons[i].Files, file)
	}
}

// List returns them by reason, with names that may be shown.
func (l *LeftOut) List(names *PatientWords) []volume.LeftOut {
	list := slices.Clone(l.reasons)
	slices.SortFunc(list, func(a, b volume.LeftOut) int { return strings.Compare(a.Reason, b.Reason) })
	for i := range list {
		list[i].Files = slices.Clone(list[i].Files)
		for j, file := range list[i].Files {
			list[i].Files[j] = names.File(file)
		}
	}
	return list
}
