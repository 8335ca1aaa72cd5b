package dicom

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/brainseg/brainseg/internal/volume"
)

// patientWords are the parts of patients' names and numbers, in lower case. File
// names are often made of them.
type patientWords struct{ words []string }

// shortestWord is the length from which a part of a name counts: shorter ones
// are in many words by chance.
const shortestWord = 3

func (p *patientWords) add(texts []string) {
	for _, text := range texts {
		for _, word := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
			return strings.ContainsRune("^=\\ ,._-\x00\t", r)
		}) {
			if len(word) >= shortestWord && !slices.Contains(p.words, word) && len(p.words) < 1000 {
				p.words = append(p.words, word)
			}
		}
	}
}

// shows tells whether text holds one of the words.
func (p *patientWords) shows(text string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc(p.words, func(word string) bool { return strings.Contains(text, word) })
}

// file returns the name of a file, without the parts of its path that hold one
// of the words.
func (p *patientWords) file(name string) string {
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

// hide returns a sentence with the file names in it, which are in quotation
// marks, as file does.
func (p *patientWords) hide(sentence string) string {
	if !strings.Contains(sentence, `"`) {
		return sentence
	}
	parts := strings.Split(sentence, `"`)
	for i := 1; i < len(parts); i += 2 {
		parts[i] = p.file(parts[i])
	}
	return strings.Join(parts, `"`)
}

// leftOut collects files by the reason why they are not part of the volume.
type leftOut struct{ reasons []volume.LeftOut }

// shownFiles is how many files are named for each reason.
const shownFiles = 10

func (l *leftOut) add(reason, file string) {
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

// list returns them by reason, with names that may be shown.
func (l *leftOut) list(names *patientWords) []volume.LeftOut {
	list := slices.Clone(l.reasons)
	slices.SortFunc(list, func(a, b volume.LeftOut) int { return strings.Compare(a.Reason, b.Reason) })
	for i := range list {
		list[i].Files = slices.Clone(list[i].Files)
		for j, file := range list[i].Files {
			list[i].Files[j] = names.file(file)
		}
	}
	return list
}

// quoted names frames in a sentence, for hide.
func quoted(frames ...*frame) string {
	var names []string
	for _, f := range frames {
		name := fmt.Sprintf("%q", f.object.file.name)
		if f.object.frameCount > 1 {
			name = fmt.Sprintf("frame %d of %s", f.index+1, name)
		}
		names = append(names, name)
	}
	return strings.Join(names, " and ")
}
