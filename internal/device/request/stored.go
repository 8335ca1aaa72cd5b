package request

import (
	"encoding/json"
	"fmt"
)

// Stored returns a request as it is kept on disk: what was understood, in one form
// however the document put it, so that equal requests have equal bytes. The image
// in it is kept apart. Whether an acknowledgement was asked for is left out.
func (r Request) Stored() (document, image []byte, err error) {
	document, err = json.Marshal(r)
	if err != nil {
		return nil, nil, fmt.Errorf("encode a request for the disk: %w", err)
	}
	return document, r.Image.Inline, nil
}

// FromStored is the request of which Stored made document and image.
func FromStored(document, image []byte) (r Request, err error) {
	if err := json.Unmarshal(document, &r); err != nil {
		return Request{}, fmt.Errorf("read a request from the disk: %w", err)
	}
	if len(image) > 0 {
		r.Image.Inline = image
	}
	return r, nil
}
