// Package schemas holds the JSON Schemas (draft 2020-12) of the documents that
// brainseg exchanges, and the OpenAPI document (3.1) of what it serves: the public
// contracts, for programs in any language.
//
// The files beside this one are their only source. Go tests hold the parsers to
// them, the training script reads the manifest's from here, and other components
// may check what they send and get. The package checks nothing itself; the
// programs do not link it.
package schemas

import _ "embed"

// The schemas, as the bytes of their files.
var (
	// Request asks for one image to be segmented.
	//go:embed request.schema.json
	Request []byte
	// Result answers a request.
	//go:embed result.schema.json
	Result []byte
	// Status is what the component tells of itself.
	//go:embed status.schema.json
	Status []byte
	// ModelManifest is manifest.json of a model's folder.
	//go:embed model-manifest.schema.json
	ModelManifest []byte
	// HealthQuestion asks for a status message with the component's health.
	//go:embed health-question.schema.json
	HealthQuestion []byte
	// Beat is what the component publishes to the request topic to hear itself.
	//go:embed beat.schema.json
	Beat []byte
	// Configuration is what a deployment may set.
	//go:embed configuration.schema.json
	Configuration []byte
	// OpenAPI describes the service over HTTP.
	//go:embed openapi.json
	OpenAPI []byte
)
