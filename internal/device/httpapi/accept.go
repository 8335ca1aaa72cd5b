package httpapi

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// Choose returns whichever of the offered types the Accept header prefers, the
// first where it has no preference, and "" where it takes none. Of ranges that
// match, the most specific counts, as RFC 9110 has it.
func Choose(header http.Header, offers ...string) string {
	accept := strings.Join(header.Values("Accept"), ",")
	if strings.TrimSpace(accept) == "" {
		return offers[0]
	}
	best, chosen := 0.0, ""
	for _, offer := range offers {
		family, _, _ := strings.Cut(offer, "/")
		quality, matched := 0.0, -1
		for part := range strings.SplitSeq(accept, ",") {
			kind, parameters, err := mime.ParseMediaType(part)
			if err != nil {
				continue
			}
			specific := -1
			switch kind {
			case offer:
				specific = 2
			case family + "/*":
				specific = 1
			case "*/*":
				specific = 0
			}
			if specific <= matched {
				continue
			}
			matched, quality = specific, 1
			if q, err := strconv.ParseFloat(parameters["q"], 64); err == nil {
				quality = q
			}
		}
		if quality > best {
			best, chosen = quality, offer
		}
	}
	return chosen
}

// prefers reports whether the Prefer header (RFC 7240) has a preference.
func prefers(header http.Header, preference string) bool {
	for _, line := range header.Values("Prefer") {
		for part := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(name), preference) {
				return true
			}
		}
	}
	return false
}
