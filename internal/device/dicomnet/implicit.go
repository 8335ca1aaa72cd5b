package dicomnet

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const undefinedLength = 0xffffffff

// Implicit copies a data set from explicit to implicit VR little endian, the
// encoding that every peer takes. It takes what this program writes: pixels that
// are not compressed, and sequences and items without stated lengths, which are
// the same in both.
func Implicit(out io.Writer, in *bufio.Reader) error {
	w := bufio.NewWriterSize(out, 64<<10)
	for {
		var head [12]byte
		if _, err := io.ReadFull(in, head[:8]); errors.Is(err, io.EOF) {
			return w.Flush()
		} else if err != nil {
			return err
		}
		group, vr := binary.LittleEndian.Uint16(head[:]), string(head[4:6])
		length, nested := uint32(binary.LittleEndian.Uint16(head[6:])), false
		switch {
		case group == 0xfffe: // items have no VR
			length = binary.LittleEndian.Uint32(head[4:])
			nested = length == undefinedLength
			if !nested && length != 0 {
				return fmt.Errorf("an item of %d bytes, where none is stated by this program", length)
			}
		case longVR(vr):
			if _, err := io.ReadFull(in, head[8:]); err != nil {
				return err
			}
			length = binary.LittleEndian.Uint32(head[8:])
			nested = vr == "SQ"
			if nested != (length == undefinedLength) {
				return fmt.Errorf("an element of VR %q with a length of %d, which this program does not write", vr, length)
			}
		}
		w.Write(head[:4]) // a bufio.Writer keeps its first error
		w.Write(binary.LittleEndian.AppendUint32(nil, length))
		if nested {
			continue
		}
		if _, err := io.CopyN(w, in, int64(length)); err != nil {
			return err
		}
	}
}

// longVR tells whether an element's length has four bytes.
func longVR(vr string) bool {
	switch vr {
	case "OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV":
		return true
	}
	return false
}
