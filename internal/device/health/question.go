package health

import (
	"bytes"
	"encoding/json"
)

// Question, published to the request topic, has the component tell at once how it
// fares; see schemas/health-question.schema.json.
const Question = `{"health":true}`

// IsQuestion recognises it, whatever its white space.
func IsQuestion(document []byte) bool {
	if len(document) > 4*len(Question) || !bytes.Contains(document, []byte(`"health"`)) {
		return false
	}
	var compact bytes.Buffer
	return json.Compact(&compact, document) == nil && compact.String() == Question
}
