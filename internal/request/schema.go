package request

import _ "embed"

// The JSON Schemas of the three documents, for programs that check them.
var (
	//go:embed request.schema.json
	RequestSchema []byte
	//go:embed result.schema.json
	ResultSchema []byte
	//go:embed status.schema.json
	StatusSchema []byte
)
