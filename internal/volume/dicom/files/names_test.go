package files

import (
	"fmt"
	"strings"
	"testing"
)

func TestNoNameIsShownWhereThereAreMorePatientsThanAreKept(t *testing.T) {
	var p PatientWords
	for i := range mostWords {
		p.Add([]string{fmt.Sprintf("Name%04d", i)})
	}
	if got := p.File("scans/IM1.dcm"); got != "scans/IM1.dcm" {
		t.Errorf("with %d words: %q", mostWords, got)
	}
	p.Add([]string{"Qxmark^Jo"})
	if got := p.Hide(`damaged: "qxmark/IM1.dcm"`); strings.Contains(got, "qxmark") || strings.Contains(got, "IM1") {
		t.Errorf("with more words: %q", got)
	}
}

func TestANameWithAQuotationMarkIsHiddenInASentence(t *testing.T) {
	var p PatientWords
	p.Add([]string{"QXMARK"})
	for _, name := range []string{`a"qxmark.dcm`, `qxmark"a.dcm`, `"qxmark"`} {
		sentence := fmt.Sprintf("there is a gap between %q and %q", showable(name), showable(name))
		if got := p.Hide(sentence); strings.Contains(got, "qxmark") {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestANameInLatin1IsKnownAgainInAFileName(t *testing.T) {
	var p PatientWords
	p.Add([]string{"M\xdcLLER^J\xf6"})
	if got := p.File("Müller/IM1.dcm"); got != "(name withheld)/IM1.dcm" {
		t.Errorf("%q", got)
	}
}
