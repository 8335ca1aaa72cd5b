package dicomnet

import (
	"fmt"
	"strings"
)

// Status is that of a response (PS3.7 annex C, PS3.4 B.2.3).
type Status uint16

// The statuses that this program sends.
const (
	Success Status = 0
	// SOPClassNotSupported: the object is of a class that was not agreed upon.
	SOPClassNotSupported Status = 0x0122
	// UnrecognisedOperation: the message is none of those spoken here.
	UnrecognisedOperation Status = 0x0211
	// OutOfResources: the object is not stored, and may be sent again later.
	OutOfResources Status = 0xa700
	// DoesNotMatch: the object is another than its command says.
	DoesNotMatch Status = 0xa900
	// CannotUnderstand: the object is no DICOM object, or lacks a UID.
	CannotUnderstand Status = 0xc000
)

// OK tells whether the object was stored, possibly with a warning.
func (s Status) OK() bool { return s == Success || s == 0x0001 || s&0xf000 == 0xb000 }

func (s Status) String() string { return fmt.Sprintf("status %#04x", uint16(s)) }

const maxTitle = 16

// CheckTitle tells why a text is no application entity title: 1 to 16 characters
// of ASCII without backslash and control characters, not all of them spaces.
func CheckTitle(s string) error {
	if strings.TrimSpace(s) == "" || len(s) > maxTitle {
		return fmt.Errorf("%q is no AE title: 1 to 16 characters are needed", s)
	}
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' || c == '\\' {
			return fmt.Errorf("%q is no AE title: it takes ASCII letters, digits and signs without \\", s)
		}
	}
	return nil
}
