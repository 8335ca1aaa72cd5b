package dicom

import (
	"encoding/binary"
	"fmt"

	"github.com/brainseg/brainseg/internal/volume"
)

// codec is how pixels are stored.
type codec int

const (
	codecNative codec = iota
	codecRLE
	codecJPEG   // baseline, extended and lossless: the stream says which
	codecJPEGLS // decoded here
	codecProgram
	codecNone // known or not, it is not decoded
)

// syntax is a transfer syntax.
type syntax struct {
	uid, name string
	explicit  bool
	order     binary.ByteOrder
	deflated  bool
	codec     codec
}

// syntaxes are the transfer syntaxes that have a name here. All that are not in
// the list are taken as explicit VR little endian, as the compressed ones are.
var syntaxes = func() map[string]syntax {
	list := []syntax{
		{uid: "1.2.840.10008.1.2", name: "Implicit VR Little Endian"},
		{uid: "1.2.840.10008.1.2.1", name: "Explicit VR Little Endian", explicit: true},
		{uid: "1.2.840.10008.1.2.1.98", name: "Encapsulated Uncompressed Explicit VR Little Endian", explicit: true},
		{uid: "1.2.840.10008.1.2.1.99", name: "Deflated Explicit VR Little Endian", explicit: true, deflated: true},
		{uid: "1.2.840.10008.1.2.2", name: "Explicit VR Big Endian", explicit: true, order: binary.BigEndian},
		{uid: "1.2.840.10008.1.2.5", name: "RLE Lossless", codec: codecRLE},
		{uid: "1.2.840.10008.1.2.4.50", name: "JPEG Baseline (Process 1)", codec: codecJPEG},
		{uid: "1.2.840.10008.1.2.4.51", name: "JPEG Extended (Process 2 and 4)", codec: codecJPEG},
		{uid: "1.2.840.10008.1.2.4.57", name: "JPEG Lossless (Process 14)", codec: codecJPEG},
		{uid: "1.2.840.10008.1.2.4.70", name: "JPEG Lossless (Process 14, Selection Value 1)", codec: codecJPEG},
		{uid: "1.2.840.10008.1.2.4.80", name: "JPEG-LS Lossless", codec: codecJPEGLS},
		{uid: "1.2.840.10008.1.2.4.81", name: "JPEG-LS Near-Lossless", codec: codecJPEGLS},
		{uid: "1.2.840.10008.1.2.4.90", name: "JPEG 2000 Lossless", codec: codecProgram},
		{uid: "1.2.840.10008.1.2.4.91", name: "JPEG 2000", codec: codecProgram},
		{uid: "1.2.840.10008.1.2.4.92", name: "JPEG 2000 Part 2 Lossless", codec: codecNone},
		{uid: "1.2.840.10008.1.2.4.93", name: "JPEG 2000 Part 2", codec: codecNone},
		{uid: "1.2.840.10008.1.2.4.53", name: "JPEG Spectral Selection (Process 6 and 8)", codec: codecNone},
		{uid: "1.2.840.10008.1.2.4.55", name: "JPEG Full Progression (Process 10 and 12)", codec: codecNone},
		{uid: "1.2.840.10008.1.2.4.94", name: "JPIP Referenced", codec: codecNone},
		{uid: "1.2.840.10008.1.2.4.95", name: "JPIP Referenced Deflate", codec: codecNone, deflated: true},
		{uid: "1.2.840.10008.1.2.4.100", name: "MPEG-2 Main Profile", codec: codecNone},
		{uid: "1.2.840.10008.1.2.4.102", name: "MPEG-4 AVC/H.264", codec: codecNone},
		{uid: "1.2.840.10008.1.2.4.107", name: "HEVC/H.265", codec: codecNone},
		{uid: "1.2.840.10008.1.2.4.110", name: "JPEG XL Lossless", codec: codecNone},
		{uid: "1.2.840.10008.1.2.4.111", name: "JPEG XL JPEG Recompression", codec: codecNone},
		{uid: "1.2.840.10008.1.2.4.112", name: "JPEG XL", codec: codecNone},
		{uid: "1.2.840.10008.1.2.4.201", name: "High-Throughput JPEG 2000 (HTJ2K) Lossless", codec: codecNone},
		{uid: "1.2.840.10008.1.2.4.202", name: "High-Throughput JPEG 2000 (HTJ2K) with RPCL, Lossless", codec: codecNone},
		{uid: "1.2.840.10008.1.2.4.203", name: "High-Throughput JPEG 2000 (HTJ2K)", codec: codecNone},
	}
	byUID := make(map[string]syntax)
	for _, s := range list {
		if s.order == nil {
			s.order = binary.LittleEndian
		}
		if s.codec != codecNative {
			s.explicit = true
		}
		byUID[s.uid] = s
	}
	return byUID
}()

// syntaxOf returns the syntax with the UID.
func syntaxOf(uid string) syntax {
	if s, ok := syntaxes[uid]; ok {
		return s
	}
	s := syntax{uid: uid, name: "unknown", explicit: true, order: binary.LittleEndian, codec: codecNone}
	if uid == "" {
		s.codec = codecNative // told by the data
		s.name = "not stated"
	}
	return s
}

// String names the syntax as an error does.
func (s syntax) String() string {
	if s.uid == "" {
		return "transfer syntax (not stated)"
	}
	return fmt.Sprintf("transfer syntax %s (%s)", s.name, printable(s.uid))
}

// unsupported refuses the syntax.
func (s syntax) unsupported(cure string) error {
	return volume.Refuse(volume.CodeUnsupportedSyntax, fmt.Sprintf("the images are compressed by %v, which is not decoded", s), cure)
}

// observed corrects the encoding by b, the first bytes of the data set: its first
// group is 8 or so, and explicit VR shows by its letters. changed tells that
// the file's word was wrong.
func (s syntax) observed(b []byte) (seen syntax, changed bool) {
	if len(b) < 8 {
		return s, false
	}
	seen = s
	little, big := binary.LittleEndian.Uint16(b), binary.BigEndian.Uint16(b)
	switch {
	case little == 0 || big == 0 || little >= 0x100 && big >= 0x100:
		return s, false
	case little < big:
		seen.order = binary.LittleEndian
	default:
		seen.order = binary.BigEndian
	}
	_, seen.explicit = vrLong[string(b[4:6])]
	return seen, seen.order != s.order || seen.explicit != s.explicit
}
