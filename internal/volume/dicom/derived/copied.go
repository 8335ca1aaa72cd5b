package derived

import (
	"bytes"
	"regexp"
)

// Need tells what becomes of an element without a value.
type Need int

// The needs.
const (
	Optional Need = iota // left out
	Required             // there, and empty
)

// Copied writes an element of the source's patient or study as it is.
func (s Source) Copied(e *Encoder, tag uint32, vr string, n Need) {
	value := s.Text(tag, vr)
	if value != nil || n == Required {
		e.Bytes(tag, vr, value)
	}
}

// Text is the source's value, or nil where it has none that is fit to be written,
// or it is not to be told.
func (s Source) Text(tag uint32, vr string) []byte {
	if s.Deidentify {
		return nil
	}
	return Valid(vr, s.Origin.Texts[tag])
}

// forms are what values of a VR look like.
var forms = map[string]*regexp.Regexp{
	"AS": regexp.MustCompile(`^[0-9]{3}[DWMY]$`),
	"CS": regexp.MustCompile(`^[A-Z0-9 _]{0,16}(\\[A-Z0-9 _]{0,16})*$`),
	"DA": regexp.MustCompile(`^[0-9]{4}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])$`),
	"DS": regexp.MustCompile(`^[-+0-9.eE]{1,16}(\\[-+0-9.eE]{1,16})*$`),
	"TM": regexp.MustCompile(`^([01][0-9]|2[0-3])([0-5][0-9]([0-5][0-9](\.[0-9]{1,6})?)?)?$`),
}

// longestText is more than the standard allows any of the copied texts in any
// character set.
const longestText = 1024

// Valid returns the value if it is fit to be written, else nil: a source's
// mistake is not handed on. Texts are in the source's character set, so nothing
// but control characters can be told in them.
func Valid(vr string, value []byte) []byte {
	if len(value) == 0 || len(value) > longestText {
		return nil
	}
	if form := forms[vr]; form != nil {
		if !form.Match(value) {
			return nil
		}
		return value
	}
	const escape = 0x1b // which changes the character set
	if bytes.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != escape || r == 0x7f }) {
		return nil
	}
	return value
}
