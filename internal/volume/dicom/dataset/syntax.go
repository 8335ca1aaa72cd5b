package dataset

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/brainseg/brainseg/internal/volume"
)

// Codec is how pixels are stored.
type Codec int

const (
	CodecNative Codec = iota
	CodecRLE
	CodecJPEG   // baseline, extended and lossless: the stream says which
	CodecJPEGLS // decoded here
	CodecProgram
	CodecNone // known or not, it is not decoded
)

// Syntax is a transfer syntax.
type Syntax struct {
	UID, Name string
	Explicit  bool
	Order     binary.ByteOrder
	Deflated  bool
	Codec     Codec
}

// UIDUncompressedFragments is the one syntax in which fragments are as they are.
const UIDUncompressedFragments = "1.2.840.10008.1.2.1.98"

// syntaxes are the transfer syntaxes that have a name here. All that are not in
// the list are taken as explicit VR little endian, as the compressed ones are.
var syntaxes = func() map[string]Syntax {
	list := []Syntax{
		{UID: "1.2.840.10008.1.2", Name: "Implicit VR Little Endian"},
		{UID: "1.2.840.10008.1.2.1", Name: "Explicit VR Little Endian", Explicit: true},
		{UID: UIDUncompressedFragments, Name: "Encapsulated Uncompressed Explicit VR Little Endian", Explicit: true},
		{UID: "1.2.840.10008.1.2.1.99", Name: "Deflated Explicit VR Little Endian", Explicit: true, Deflated: true},
		{UID: "1.2.840.10008.1.2.2", Name: "Explicit VR Big Endian", Explicit: true, Order: binary.BigEndian},
		{UID: "1.2.840.10008.1.2.5", Name: "RLE Lossless", Codec: CodecRLE},
		{UID: "1.2.840.10008.1.2.4.50", Name: "JPEG Baseline (Process 1)", Codec: CodecJPEG},
		{UID: "1.2.840.10008.1.2.4.51", Name: "JPEG Extended (Process 2 and 4)", Codec: CodecJPEG},
		{UID: "1.2.840.10008.1.2.4.57", Name: "JPEG Lossless (Process 14)", Codec: CodecJPEG},
		{UID: "1.2.840.10008.1.2.4.70", Name: "JPEG Lossless (Process 14, Selection Value 1)", Codec: CodecJPEG},
		{UID: "1.2.840.10008.1.2.4.80", Name: "JPEG-LS Lossless", Codec: CodecJPEGLS},
		{UID: "1.2.840.10008.1.2.4.81", Name: "JPEG-LS Near-Lossless", Codec: CodecJPEGLS},
		{UID: "1.2.840.10008.1.2.4.90", Name: "JPEG 2000 Lossless", Codec: CodecProgram},
		{UID: "1.2.840.10008.1.2.4.91", Name: "JPEG 2000", Codec: CodecProgram},
		{UID: "1.2.840.10008.1.2.4.92", Name: "JPEG 2000 Part 2 Lossless", Codec: CodecNone},
		{UID: "1.2.840.10008.1.2.4.93", Name: "JPEG 2000 Part 2", Codec: CodecNone},
		{UID: "1.2.840.10008.1.2.4.53", Name: "JPEG Spectral Selection (Process 6 and 8)", Codec: CodecNone},
		{UID: "1.2.840.10008.1.2.4.55", Name: "JPEG Full Progression (Process 10 and 12)", Codec: CodecNone},
		{UID: "1.2.840.10008.1.2.4.94", Name: "JPIP Referenced", Codec: CodecNone},
		{UID: "1.2.840.10008.1.2.4.95", Name: "JPIP Referenced Deflate", Codec: CodecNone, Deflated: true},
		{UID: "1.2.840.10008.1.2.4.100", Name: "MPEG-2 Main Profile", Codec: CodecNone},
		{UID: "1.2.840.10008.1.2.4.102", Name: "MPEG-4 AVC/H.264", Codec: CodecNone},
		{UID: "1.2.840.10008.1.2.4.107", Name: "HEVC/H.265", Codec: CodecNone},
		{UID: "1.2.840.10008.1.2.4.110", Name: "JPEG XL Lossless", Codec: CodecNone},
		{UID: "1.2.840.10008.1.2.4.111", Name: "JPEG XL JPEG Recompression", Codec: CodecNone},
		{UID: "1.2.840.10008.1.2.4.112", Name: "JPEG XL", Codec: CodecNone},
		{UID: "1.2.840.10008.1.2.4.201", Name: "High-Throughput JPEG 2000 (HTJ2K) Lossless", Codec: CodecNone},
		{UID: "1.2.840.10008.1.2.4.202", Name: "High-Throughput JPEG 2000 (HTJ2K) with RPCL, Lossless", Codec: CodecNone},
		{UID: "1.2.840.10008.1.2.4.203", Name: "High-Throughput JPEG 2000 (HTJ2K)", Codec: CodecNone},
	}
	byUID := make(map[string]Syntax)
	for _, s := range list {
		if s.Order == nil {
			s.Order = binary.LittleEndian
		}
		if s.Codec != CodecNative {
			s.Explicit = true
		}
		byUID[s.UID] = s
	}
	return byUID
}()

// SyntaxOf returns the syntax with the UID.
func SyntaxOf(uid string) Syntax {
	if s, ok := syntaxes[uid]; ok {
		return s
	}
	s := Syntax{UID: uid, Name: "unknown", Explicit: true, Order: binary.LittleEndian, Codec: CodecNone}
	if uid == "" {
		s.Codec = CodecNative // told by the data
		s.Name = "not stated"
	}
	return s
}

// String names the syntax as an error does.
func (s Syntax) String() string {
	if s.UID == "" {
		return "transfer syntax (not stated)"
	}
	return fmt.Sprintf("transfer syntax %s (%s)", s.Name, ShowableUID(s.UID))
}

// Unsupported refuses the syntax.
func (s Syntax) Unsupported(cure string) error {
	return volume.Refuse(volume.CodeUnsupportedSyntax, fmt.Sprintf("the images are compressed by %v, which is not decoded", s), cure)
}

// Observed corrects the encoding by b, the first bytes of the data set: its first
// group is 8 or so, and explicit VR shows by its letters. changed tells that
// the file's word was wrong.
func (s Syntax) Observed(b []byte) (seen Syntax, changed bool) {
	if len(b) < 8 {
		return s, false
	}
	seen = s
	little, big := binary.LittleEndian.Uint16(b), binary.BigEndian.Uint16(b)
	switch {
	case little == 0 || big == 0 || little >= 0x100 && big >= 0x100:
		return s, false
	case little < big:
		seen.Order = binary.LittleEndian
	default:
		seen.Order = binary.BigEndian
	}
	_, seen.Explicit = vrLong[string(b[4:6])]
	return seen, seen.Order != s.Order || seen.Explicit != s.Explicit
}

// ShowableUID returns a UID as it may be shown: what is none may say anything.
func ShowableUID(uid string) string {
	if strings.Trim(uid, "0123456789.") != "" || len(uid) > 64 {
		return "(not a UID)"
	}
	return uid
}
