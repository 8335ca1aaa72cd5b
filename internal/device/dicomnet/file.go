package dicomnet

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/brainseg/brainseg/internal/device/dicomnet/pdu"
	"github.com/brainseg/brainseg/internal/volume/dicom/dataset"
)

// FileHeader is what comes before an object's data in a file (PS3.10, 7.1):
// preamble and meta header.
func FileHeader(r StoreRequest) []byte {
	var group []byte
	element := func(number uint16, vr, value string) {
		if len(value)%2 == 1 {
			if vr == "UI" {
				value += "\x00"
			} else {
				value += " "
			}
		}
		group = binary.LittleEndian.AppendUint16(group, 2)
		group = append(binary.LittleEndian.AppendUint16(group, number), vr...)
		if vr == "OB" {
			group = binary.LittleEndian.AppendUint32(append(group, 0, 0), uint32(len(value)))
		} else {
			group = binary.LittleEndian.AppendUint16(group, uint16(len(value)))
		}
		group = append(group, value...)
	}
	element(0x01, "OB", "\x00\x01")
	element(0x02, "UI", r.SOPClass)
	element(0x03, "UI", r.SOPInstance)
	element(0x10, "UI", r.TransferSyntax)
	element(0x12, "UI", pdu.ImplementationUID)
	element(0x13, "SH", pdu.ImplementationVersion)
	element(0x16, "AE", r.CallingTitle)
	rest := group
	group = nil
	element(0x00, "UL", string(binary.LittleEndian.AppendUint32(nil, uint32(len(rest)))))
	header := append(make([]byte, 128), "DICM"...)
	return append(append(header, group...), rest...)
}

// File is an object in a file, to be sent.
type File struct {
	SOPClass, SOPInstance, TransferSyntax string
	// Data is the object without meta header.
	Data *bufio.Reader
	file *os.File
}

// OpenFile opens an object's file. Whoever gets it calls Close.
func OpenFile(path string) (*File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	f := &File{Data: bufio.NewReaderSize(file, 64<<10), file: file}
	meta, bare, _, err := dataset.ReadMeta(f.Data)
	if err == nil && bare {
		err = errors.New("there is no meta header")
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	f.SOPClass, f.SOPInstance = meta.Text(dataset.TagMediaStorageSOPClass), meta.Text(dataset.TagMediaSOPInstance)
	f.TransferSyntax = meta.Text(dataset.TagTransferSyntax)
	return f, nil
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }
