package dicomnode

import "testing"

func TestImagesLeaveThisMachineByTLSOrByAWord(t *testing.T) {
	for _, tt := range []struct {
		address              string
		encrypted, plaintext bool
		good                 bool
	}{
		{"127.0.0.1:104", false, false, true},
		{"127.8.8.8:104", false, false, true},
		{"[::1]:104", false, false, true},
		{"localhost:104", false, false, true},
		{"[::ffff:127.0.0.1]:104", false, false, true},
		{"0.0.0.0:104", false, false, false},
		{":104", false, false, false},
		{"[::]:104", false, false, false},
		{"10.0.0.1:104", false, false, false},
		{"pacs:104", false, false, false},
		{"localhost.example:104", false, false, false},
		{":104", true, false, true},
		{"pacs:104", false, true, true},
		{"pacs", true, true, false},
	} {
		if err := CheckExposure(tt.address, tt.encrypted, tt.plaintext); (err == nil) != tt.good {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}
