package pdu

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// Items of A-ASSOCIATE (PS3.8, 9.3.2 and 9.3.3, annex D).
const (
	itemApplication    = 0x10
	itemContextRQ      = 0x20
	itemContextAC      = 0x21
	itemAbstract       = 0x30
	itemTransfer       = 0x40
	itemUser           = 0x50
	itemMaxLength      = 0x51
	itemImplementation = 0x52
	itemVersion        = 0x55
)

// Results of a presentation context.
const (
	Accepted                     = 0
	AbstractSyntaxNotSupported   = 3
	TransferSyntaxesNotSupported = 4
)

// ApplicationContext is the one that there is.
const ApplicationContext = "1.2.840.10008.3.1.1.1"

const (
	// MaxContexts is how many there can be: their numbers are odd.
	MaxContexts = 128

	associateFixed = 68 // bytes before the items
	titleBytes     = 16
	maxTransfers   = 128 // of one context; the standard knows some 60
)

// ImplementationUID and ImplementationVersion name this program in associations
// and in the files that it receives.
const (
	ImplementationUID     = "2.25.236049487104529017410424311243086419275"
	ImplementationVersion = "BRAINSEG"
)

// Association is an A-ASSOCIATE-RQ or -AC.
type Association struct {
	// Version has bit 0 for version 1, the only one. It is written by itself.
	Version uint16
	// Called and Calling are titles of application entities, without padding.
	Called, Calling string
	// Application context; it is written by itself.
	Application string
	Contexts    []Presentation
	// MaxData is how many bytes a P-DATA to the sender may have; 0: any.
	MaxData uint32
}

// Presentation is a presentation context as it is proposed, or the answer.
type Presentation struct {
	// ID is odd.
	ID byte
	// Result is that of the answer.
	Result byte
	// Abstract is the SOP class of the proposal.
	Abstract string
	// Transfer syntaxes that are proposed, or the one that is accepted.
	Transfer []string
}

// ParseAssociation parses the body of an A-ASSOCIATE-RQ or -AC.
func ParseAssociation(kind Type, body []byte) (*Association, error) {
	if len(body) < associateFixed {
		return nil, Invalid("an A-ASSOCIATE of %d bytes", len(body))
	}
	a := &Association{Version: binary.BigEndian.Uint16(body), Called: title(body[4:]), Calling: title(body[4+titleBytes:])}
	wanted := byte(itemContextRQ)
	if kind == AssociateAC {
		wanted = itemContextAC
	}
	seen := [256]bool{}
	err := eachItem(body[associateFixed:], func(item byte, value []byte) error {
		switch item {
		case itemApplication:
			a.Application = uid(value)
		case wanted:
			p, err := parseContext(value)
			if err != nil {
				return err
			}
			if seen[p.ID] || p.ID%2 == 0 {
				return Invalid("presentation context %d is there twice, or even", p.ID)
			}
			seen[p.ID] = true
			a.Contexts = append(a.Contexts, p)
		case itemUser:
			return eachItem(value, func(item byte, value []byte) error {
				switch {
				case item == itemMaxLength && len(value) == 4:
					a.MaxData = binary.BigEndian.Uint32(value)
				case item == itemMaxLength:
					return Invalid("a maximum length of %d bytes", len(value))
				}
				return nil
			})
		}
		return nil
	})
	return a, err
}

func parseContext(b []byte) (Presentation, error) {
	if len(b) < 4 {
		return Presentation{}, Invalid("a presentation context of %d bytes", len(b))
	}
	p := Presentation{ID: b[0], Result: b[2]}
	return p, eachItem(b[4:], func(item byte, value []byte) error {
		switch item {
		case itemAbstract:
			p.Abstract = uid(value)
		case itemTransfer:
			if len(p.Transfer) == maxTransfers {
				return Invalid("a presentation context with more than %d transfer syntaxes", maxTransfers)
			}
			p.Transfer = append(p.Transfer, uid(value))
		}
		return nil
	})
}

// eachItem calls use for each item in b. Items that it does not know it passes
// over, as the standard has it.
func eachItem(b []byte, use func(item byte, value []byte) error) error {
	for len(b) > 0 {
		if len(b) < 4 {
			return Invalid("an item of an A-ASSOCIATE is cut off")
		}
		length := int(binary.BigEndian.Uint16(b[2:]))
		if length > len(b)-4 {
			return Invalid("an item of an A-ASSOCIATE is longer than the rest")
		}
		if err := use(b[0], b[4:4+length]); err != nil {
			return err
		}
		b = b[4+length:]
	}
	return nil
}

// Encode makes the PDU.
func (a *Association) Encode(kind Type) []byte {
	body := binary.BigEndian.AppendUint16(nil, 1)
	body = append(body, 0, 0)
	for _, title := range []string{a.Called, a.Calling} {
		padded := bytes.Repeat([]byte{' '}, titleBytes)
		copy(padded, title)
		body = append(body, padded...)
	}
	body = append(body, make([]byte, 32)...)
	body = appendItem(body, itemApplication, []byte(ApplicationContext))
	item := byte(itemContextRQ)
	if kind == AssociateAC {
		item = itemContextAC
	}
	for _, p := range a.Contexts {
		value := []byte{p.ID, 0, p.Result, 0}
		if kind == AssociateRQ {
			value = appendItem(value, itemAbstract, []byte(p.Abstract))
		}
		for _, t := range p.Transfer {
			value = appendItem(value, itemTransfer, []byte(t))
		}
		body = appendItem(body, item, value)
	}
	user := appendItem(nil, itemMaxLength, binary.BigEndian.AppendUint32(nil, a.MaxData))
	user = appendItem(user, itemImplementation, []byte(ImplementationUID))
	user = appendItem(user, itemVersion, []byte(ImplementationVersion))
	return Append(nil, kind, appendItem(body, itemUser, user))
}

func appendItem(b []byte, item byte, value []byte) []byte {
	b = binary.BigEndian.AppendUint16(append(b, item, 0), uint16(len(value)))
	return append(b, value...)
}

// title is an application entity's title in 16 bytes.
func title(b []byte) string { return strings.Trim(string(b[:titleBytes]), " \x00") }

// uid is a UID, which some pad.
func uid(b []byte) string { return strings.Trim(string(b), " \x00") }
