package document

import (
	"encoding/json"
	"testing"
)

func TestNumbersTakeTheFormOfEachNucleus(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0.0", "1": "1.0", "-2": "-2.0", "1.5": "1.5", "0.001": "0.001", "0.0001": "1.0E-4", "9999999": "9999999.0",
		"10000000": "1.0E7", "12345678.5": "1.23456785E7", "9007199254740993": "9.007199254740992E15",
	} {
		got, err := Append(nil, JavaNumbers(map[string]any{"n": json.Number(in)}))
		if err != nil || string(got) != `{"n":`+want+`}` {
			t.Errorf("classic, %s: got %s, %v", in, got, err)
		}
	}
	for in, want := range map[string]string{
		"1": "1", "1.5": "1.5000000000000000", "0.1": "0.10000000000000001", "1e2": "100.00000000000000", "123456789012345678": "123456789012345678",
		"1234567890123456789": "123456789012345678\x00",
	} {
		args := map[string]any{"n": json.Number(in)}
		if err := LiteNumbers(args); err != nil {
			t.Errorf("lite, %s: %v", in, err)
		}
		v, err := LiteIntegers(args)
		if err != nil {
			t.Errorf("lite, %s: %v", in, err)
		}
		if got, _ := Append(nil, v); string(got) != `{"n":`+want+`}` {
			t.Errorf("lite, %s: got %q", in, got)
		}
	}
	if err := LiteNumbers([]any{json.Number("18446744073709551615")}); err == nil {
		t.Error("lite took an integer beyond int64")
	}
	if _, err := LiteIntegers(json.Number("-1234567890123456789")); err == nil {
		t.Error("lite wrote an integer of 20 characters")
	}
}
