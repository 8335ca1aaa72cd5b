package derived

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

func TestAMistakeOfTheSourceIsNotHandedOn(t *testing.T) {
	for _, c := range []struct {
		vr, value string
		kept      bool
	}{
		{"DA", "20200102", true}, {"DA", "2020.01.02", false}, {"DA", "20201302", false}, {"DA", "", false},
		{"TM", "101112.123456", true}, {"TM", "10", true}, {"TM", "10:11", false}, {"TM", "240000", false},
		{"AS", "042Y", true}, {"AS", "42", false},
		{"CS", `ISO 2022 IR 6\ISO 2022 IR 87`, true}, {"CS", `\ISO 2022 IR 87`, true}, {"CS", "lower", false},
		{"DS", "71.5", true}, {"DS", "71,5", false},
		{"PN", "Yamada^Tarou=\x1b$B;3ED\x1b(B", true}, {"PN", "M\xfcller", true}, {"LO", "two\nlines", false}, {"LO", strings.Repeat("x", 2000), false},
	} {
		if got := Valid(c.vr, []byte(c.value)); (got != nil) != c.kept {
			t.Errorf("%s %q: %q", c.vr, c.value, got)
		}
	}
}

func TestDecimalsHaveSixteenCharactersAndAreExactWhereTheySuffice(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 100000 {
		exact := float64(random.IntN(2e9)-1e9) / 1e8 // the positions of real images
		if s := decimal(exact); len(s) > 16 {
			t.Fatalf("%q has %d characters", s, len(s))
		} else if back, err := strconv.ParseFloat(s, 64); err != nil || back != exact {
			t.Fatalf("%v became %q", exact, s)
		}
		wide := random.NormFloat64() * []float64{1e-20, 1e-5, 1, 1e5, 1e20}[random.IntN(5)]
		s := decimal(wide)
		if back, err := strconv.ParseFloat(s, 64); err != nil || len(s) > 16 || (back-wide)/wide > 1e-8 || (wide-back)/wide > 1e-8 {
			t.Fatalf("%v became %q", wide, s)
		}
	}
	negative := 0.0
	if s := decimal(-negative); s != "0" {
		t.Errorf("zero became %q", s)
	}
}

func TestTextsOfTheModelFitTheirElements(t *testing.T) {
	for in, want := range map[string]string{
		"brainseg-enet": "brainseg-enet", "": "unknown", " \t ": "_", `a\b`: "a_b", "für": "f_r", strings.Repeat("x", 70): strings.Repeat("x", 64),
	} {
		if got := Line(in, "unknown"); got != want {
			t.Errorf("%q became %q", in, got)
		}
	}
}
