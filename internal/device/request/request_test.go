package request

import (
	"bytes"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/brainseg/brainseg/schemas"
)

func schema(t testing.TB, document []byte) *jsonschema.Schema {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", v); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(s *jsonschema.Schema, document []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

var requests = []struct {
	name     string
	document string
	want     Request // of a request that is not valid, the id counts
	message  string  // of the error, "" for a valid request
}{
	{"path", `{"id":"a","image":{"path":"x/y.png"}}`, Request{ID: "a", Image: Image{Path: "x/y.png"}}, ""},
	{"s3", `{"id":"a","image":{"s3":"s3://b/k"}}`, Request{ID: "a", Image: Image{S3: "s3://b/k"}}, ""},
	{"inline", `{"id":"a","image":{"base64":"aGVsbG8="}}`, Request{ID: "a", Image: Image{Inline: []byte("hello")}}, ""},
	{"square pixels", `{"id":"a","image":{"path":"x","spacingMm":0.45}}`, Request{ID: "a", Image: Image{Path: "x", SpacingMM: [2]float64{0.45, 0.45}}}, ""},
	{"long pixels", `{"id":"a","image":{"base64":"aGVsbG8=","spacingMm":[1,3]}}`, Request{ID: "a", Image: Image{Inline: []byte("hello"), SpacingMM: [2]float64{1, 3}}}, ""},
	{"every output", `{"id":"ä","image":{"path":"x"},"output":{"to":"s3://b/m.png","overlay":true,"inline":true,"overwrite":true}}`,
		Request{ID: "ä", Image: Image{Path: "x"}, Output: Output{To: "s3://b/m.png", Overlay: true, Inline: true, Overwrite: true}}, ""},
	{"no output", `{"id":"a","image":{"path":"x"},"output":{"overlay":false}}`, Request{ID: "a", Image: Image{Path: "x"}}, ""},
	{"the form of 2018", `{"bucket":"b","prefix":"in/a.png"}`, Request{Classic2018: true, Image: Image{S3: "s3://b/in/a.png"}}, ""},
	{"the form of 2018 with an id", `{"id":"7","bucket":"b","prefix":"in/a.png","output":{"overlay":true}}`,
		Request{ID: "7", Classic2018: true, Image: Image{S3: "s3://b/in/a.png"}, Output: Output{Overlay: true}}, ""},
	{"an id of 128 characters", `{"id":"` + strings.Repeat("🧠", 128) + `","image":{"path":"x"}}`, Request{ID: strings.Repeat("🧠", 128), Image: Image{Path: "x"}}, ""},
	{"white space around", " \n{\"id\":\"a\",\"image\":{\"path\":\"x\"}}\r\n\t ", Request{ID: "a", Image: Image{Path: "x"}}, ""},
	{"a member twice, of which the last counts", `{"id":"a","image":{"path":"x"},"image":{"s3":"s3://b/k"}}`, Request{ID: "a", Image: Image{S3: "s3://b/k"}}, ""},

	{"a scan", `{"id":"a","image":{"path":"series"},"output":{"kinds":["seg","labels"]}}`,
		Request{ID: "a", Image: Image{Path: "series"}, Scan: &Scan{Kinds: []Kind{KindSEG, KindLabels}}}, ""},
	{"a scan with every choice", `{"id":"a","image":{"path":"x.nii","assume":"RAS","series":"1.2","volume":2.0e0},"output":{"kinds":["report"],"to":"a/b","deidentify":true,"overwrite":true}}`,
		Request{ID: "a", Image: Image{Path: "x.nii"}, Output: Output{To: "a/b", Overwrite: true}, Scan: &Scan{Kinds: []Kind{KindReport}, Assume: "RAS", Series: "1.2", Volume: 2, Deidentify: true}}, ""},
	{"a scan in S3", `{"id":"a","image":{"s3":"s3://b/series/"},"output":{"kinds":["seg"]}}`, Request{ID: "a", Image: Image{S3: "s3://b/series/"}, Scan: &Scan{Kinds: []Kind{KindSEG}}}, ""},
	{"a scan that is called off", `{"id":"a","cancel":true}`, Request{ID: "a", Cancel: true}, ""},

	{"a scan without results", `{"id":"a","image":{"path":"x"},"output":{"kinds":[]}}`, Request{ID: "a"}, "output.kinds has the wrong type: it must be a list of at least one word"},
	{"null as kinds", `{"id":"a","image":{"path":"x"},"output":{"kinds":null}}`, Request{ID: "a"}, "output.kinds has the wrong type: it must be a list of at least one word"},
	{"an unknown kind", `{"id":"a","image":{"path":"x"},"output":{"kinds":["mask"]}}`, Request{ID: "a"}, "output.kinds holds each at most once: labels, probabilities, volumes, report, picture, seg, overlay, sr"},
	{"null as kind", `{"id":"a","image":{"path":"x"},"output":{"kinds":[null]}}`, Request{ID: "a"}, "output.kinds holds each at most once: labels, probabilities, volumes, report, picture, seg, overlay, sr"},
	{"a kind twice", `{"id":"a","image":{"path":"x"},"output":{"kinds":["seg","seg"]}}`, Request{ID: "a"}, "output.kinds holds each at most once: labels, probabilities, volumes, report, picture, seg, overlay, sr"},
	{"a scan with an overlay", `{"id":"a","image":{"path":"x"},"output":{"kinds":["seg"],"overlay":true}}`, Request{ID: "a"}, "the request has an unknown member output.overlay"},
	{"a scan that came along", `{"id":"a","image":{"base64":"aGVsbG8="},"output":{"kinds":["seg"]}}`, Request{ID: "a"}, "the request has an unknown member image.base64"},
	{"a scan in two places", `{"id":"a","image":{"path":"x","s3":"s3://b/x/"},"output":{"kinds":["seg"]}}`, Request{ID: "a"}, "image of a scan must have exactly one of path and s3"},
	{"a scan of another scheme", `{"id":"a","image":{"s3":"http://b/x/"},"output":{"kinds":["seg"]}}`, Request{ID: "a"}, "image.s3 must begin with s3://"},
	{"a scan nowhere", `{"id":"a","image":{"volume":1},"output":{"kinds":["seg"]}}`, Request{ID: "a"}, "image of a scan must have exactly one of path and s3"},
	{"results of a scan in a folder", `{"id":"a","image":{"path":"x"},"output":{"kinds":["seg"],"to":"b/"}}`, Request{ID: "a"}, "output.to is the beginning of the names of the results, and must not end in /"},
	{"another orientation", `{"id":"a","image":{"path":"x","assume":"LPS"},"output":{"kinds":["seg"]}}`, Request{ID: "a"}, "image.assume must be RAS"},
	{"a series that is no UID", `{"id":"a","image":{"path":"x","series":"1.a"},"output":{"kinds":["seg"]}}`, Request{ID: "a"}, "image.series must be a UID"},
	{"volume 0", `{"id":"a","image":{"path":"x","volume":0},"output":{"kinds":["seg"]}}`, Request{ID: "a"}, "image.volume must be a whole number from 1 to 32767"},
	{"half a volume", `{"id":"a","image":{"path":"x","volume":1.5},"output":{"kinds":["seg"]}}`, Request{ID: "a"}, "image.volume must be a whole number from 1 to 32767"},
	{"a volume in quotes", `{"id":"a","image":{"path":"x","volume":"1"},"output":{"kinds":["seg"]}}`, Request{ID: "a"}, "image.volume must be a whole number from 1 to 32767"},
	{"choices for a slice", `{"id":"a","image":{"path":"x","volume":1}}`, Request{ID: "a"}, "the request has an unknown member image.volume"},
	{"a scan in the form of 2018", `{"bucket":"b","prefix":"k","output":{"kinds":["seg"]}}`, Request{}, "a request with bucket and prefix has both, and neither image nor output.to or output.kinds"},
	{"called off and asked for", `{"id":"a","cancel":true,"image":{"path":"x"}}`, Request{ID: "a"}, "a request to cancel has an id and \"cancel\": true, and nothing else"},
	{"not called off", `{"id":"a","cancel":false}`, Request{ID: "a"}, "a request to cancel has an id and \"cancel\": true, and nothing else"},
	{"nothing called off", `{"cancel":true}`, Request{}, "a request to cancel has an id and \"cancel\": true, and nothing else"},

	{"nothing", ``, Request{}, "the request is not JSON"},
	{"cut", `{"id":"a","ima`, Request{}, "the request is not JSON"},
	{"no object", `[1]`, Request{}, "the request must be a JSON object"},
	{"null", `null`, Request{}, "the request must be a JSON object"},
	{"two documents", `{"id":"a","image":{"path":"x"}} {}`, Request{ID: "a"}, "the request is not one JSON document"},
	{"a brace too many", `{"id":"c1","image":{"path":"x"}}}`, Request{ID: "c1"}, "the request is not one JSON document"},
	{"a bracket too many", `{"id":"c1","image":{"path":"x"}}]`, Request{ID: "c1"}, "the request is not one JSON document"},
	{"wrong type", `{"id":"a","image":"x.png"}`, Request{ID: "a"}, "image has the wrong type: it must be an object"},
	{"number as id", `{"id":5,"image":{"path":"x"}}`, Request{ID: "5"}, "id has the wrong type: it must be a string"},
	{"large number as id", `{"id":12345678901234567890.50,"image":{"path":"x"}}`, Request{ID: "12345678901234567890.50"}, "id has the wrong type: it must be a string"},
	{"null as id", `{"id":null,"image":{"path":"x"}}`, Request{}, "id has the wrong type: it must be a string"},
	{"null as image", `{"id":"a","image":null}`, Request{ID: "a"}, "image has the wrong type: it must be an object"},
	{"null as output", `{"id":"a","image":{"path":"x"},"output":null}`, Request{ID: "a"}, "output has the wrong type: it must be an object"},
	{"null as flag", `{"id":"a","image":{"path":"x"},"output":{"overlay":null}}`, Request{ID: "a"}, "output.overlay has the wrong type: it must be true or false"},
	{"null as second image", `{"id":"a","image":{"path":"x","s3":null}}`, Request{ID: "a"}, "image must have exactly one of path, s3 and base64"},
	{"names in other case", `{"ID":"c3","IMAGE":{"PATH":"x"}}`, Request{}, "the request has an unknown member ID"},
	{"a name in other case within", `{"id":"a","image":{"Path":"x"}}`, Request{ID: "a"}, "the request has an unknown member image.Path"},
	{"unknown member", `{"id":"a","image":{"path":"x"},"overlay":true}`, Request{ID: "a"}, "the request has an unknown member overlay"},
	{"unknown member with a long name", `{"id":"a","` + strings.Repeat("x", 40) + `":1}`, Request{ID: "a"}, "the request has an unknown member whose name has 40 bytes"},
	{"no id", `{"image":{"path":"x"}}`, Request{}, "id is missing"},
	{"empty id", `{"id":"","image":{"path":"x"}}`, Request{}, "id is empty"},
	{"long id", `{"id":"` + strings.Repeat("ü", 129) + `","image":{"path":"x"}}`, Request{}, "id is longer than 128 characters"},
	{"control characters in the id", `{"id":"a\nb","image":{"path":"x"}}`, Request{}, "id holds control characters"},
	{"no image", `{"id":"a"}`, Request{ID: "a"}, "image is missing"},
	{"empty image", `{"id":"a","image":{}}`, Request{ID: "a"}, "image must have exactly one of path, s3 and base64"},
	{"two images", `{"id":"a","image":{"path":"x","s3":"s3://b/k"}}`, Request{ID: "a"}, "image must have exactly one of path, s3 and base64"},
	{"empty path", `{"id":"a","image":{"path":""}}`, Request{ID: "a"}, "image.path is empty"},
	{"long path", `{"id":"a","image":{"path":"` + strings.Repeat("x", 1025) + `"}}`, Request{ID: "a"}, "image.path is longer than 1024 characters"},
	{"control characters in the path", `{"id":"a","image":{"path":"a\u0000b"}}`, Request{ID: "a"}, "image.path holds control characters"},
	{"other scheme", `{"id":"a","image":{"s3":"http://b/k"}}`, Request{ID: "a"}, "image.s3 must begin with s3://"},
	{"pixels without a size", `{"id":"a","image":{"path":"x","spacingMm":0}}`, Request{ID: "a"}, "image.spacingMm must be from 0.05 to 10"},
	{"pixels of a metre", `{"id":"a","image":{"path":"x","spacingMm":[1,1000]}}`, Request{ID: "a"}, "image.spacingMm must be from 0.05 to 10"},
	{"pixels in words", `{"id":"a","image":{"path":"x","spacingMm":"1 mm"}}`, Request{ID: "a"}, "image.spacingMm has the wrong type: it must be a number of millimetres, or two of them"},
	{"pixels in space", `{"id":"a","image":{"path":"x","spacingMm":[1,1,1]}}`, Request{ID: "a"}, "image.spacingMm has the wrong type: it must be a number of millimetres, or two of them"},
	{"pixels of null", `{"id":"a","image":{"path":"x","spacingMm":null}}`, Request{ID: "a"}, "image.spacingMm has the wrong type: it must be a number of millimetres, or two of them"},
	{"a size without an image", `{"id":"a","image":{"spacingMm":1}}`, Request{ID: "a"}, "image must have exactly one of path, s3 and base64"},
	{"empty base64", `{"id":"a","image":{"base64":""}}`, Request{ID: "a"}, "image.base64 is empty"},
	{"broken base64", `{"id":"a","image":{"base64":"%%%%"}}`, Request{ID: "a"}, "image.base64 is not standard base64"},
	{"base64 without its padding", `{"id":"a","image":{"base64":"aGVsbG8"}}`, Request{ID: "a"}, "image.base64 is not standard base64"},
	{"base64 in lines", `{"id":"a","image":{"base64":"aGVs\nbG8="}}`, Request{ID: "a"}, "image.base64 is not standard base64: it has line breaks"},
	{"output that is no PNG", `{"id":"a","image":{"path":"x"},"output":{"to":"m.jpg"}}`, Request{ID: "a"}, "output.to must end in .png, and not in .overlay.png, which names overlays"},
	{"acknowledge", `{"id":"a","image":{"path":"x"},"acknowledge":true}`, Request{ID: "a", Image: Image{Path: "x"}, Acknowledge: true}, ""},
	{"acknowledge in the form of 2018", `{"bucket":"b","prefix":"k","acknowledge":true}`, Request{Image: Image{S3: "s3://b/k"}, Classic2018: true, Acknowledge: true}, ""},
	{"acknowledge that is no boolean", `{"id":"a","image":{"path":"x"},"acknowledge":1}`, Request{ID: "a"}, "acknowledge has the wrong type: it must be true or false"},
	{"output that is named as an overlay", `{"id":"a","image":{"path":"x"},"output":{"to":"m.overlay.png"}}`, Request{ID: "a"}, "output.to must end in .png, and not in .overlay.png, which names overlays"},
	{"bucket alone", `{"bucket":"b"}`, Request{}, "a request with bucket and prefix has both, and neither image nor output.to or output.kinds"},
	{"empty bucket", `{"bucket":"","prefix":"k"}`, Request{}, "bucket is empty"},
	{"the form of 2018 beside an image", `{"id":"a","bucket":"b","prefix":"k","image":{"path":"x"}}`, Request{ID: "a"}, "a request with bucket and prefix has both, and neither image nor output.to or output.kinds"},
}

func TestParseReadsRequestsAndNamesWhatIsWrong(t *testing.T) {
	for _, tt := range requests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse([]byte(tt.document))
			message := ""
			var e *Error
			if errors.As(err, &e) {
				message = e.Message
				if e.Code != CodeInvalidRequest {
					t.Errorf("code is %q, want %q", e.Code, CodeInvalidRequest)
				}
			}
			if message != tt.message {
				t.Errorf("error is %q, want %q", message, tt.message)
			}
			if tt.message == "" || got.ID != tt.want.ID {
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("request (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestSchemaAndParseAgreeOnWhatIsARequest(t *testing.T) {
	s := schema(t, schemas.Request)
	for _, tt := range requests {
		t.Run(tt.name, func(t *testing.T) {
			if err := validate(s, []byte(tt.document)); (err == nil) != (tt.message == "") {
				t.Errorf("schema says %v, Parse says %q", err, tt.message)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, tt := range requests {
		f.Add([]byte(tt.document))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, err := Parse(document)
		runtime.ReadMemStats(&after)
		// The decoder's buffers and the strings of the document.
		if taken, bound := after.TotalAlloc-before.TotalAlloc, uint64(64<<10+32*len(document)); taken > bound {
			t.Errorf("%d bytes of input made Parse allocate %d, more than %d", len(document), taken, bound)
		}
		if utf8.RuneCountInString(r.ID) > MaxID || len(r.Image.Inline) > len(document) {
			t.Errorf("id of %d bytes, image of %d bytes from %d bytes", len(r.ID), len(r.Image.Inline), len(document))
		}
		if err != nil {
			if AsError(err).Code != CodeInvalidRequest {
				t.Errorf("error %v", err)
			}
			return
		}
		plain := r
		plain.Acknowledge = false
		kept, image, err := r.Stored()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := FromStored(kept, image); err != nil || !reflect.DeepEqual(back, plain) {
			t.Errorf("stored %+v, read %+v, %v", plain, back, err)
		}
		set := 0
		for _, here := range []bool{r.Image.Path != "", r.Image.S3 != "", len(r.Image.Inline) > 0} {
			if here {
				set++
			}
		}
		if r.Cancel {
			if r.ID == "" || set != 0 || r.Scan != nil {
				t.Errorf("accepted %+v", r)
			}
			return
		}
		if set != 1 || (r.ID == "" && !r.Classic2018) || len(r.Image.Path) > 4*MaxReference || len(r.Output.To) > 4*MaxReference {
			t.Errorf("accepted %+v", r)
		}
	})
}

// FuzzParseAndSchemaAgree holds the parser to the schema on any document.
func FuzzParseAndSchemaAgree(f *testing.F) {
	for _, tt := range requests {
		f.Add([]byte(tt.document))
	}
	s := schema(f, schemas.Request)
	f.Fuzz(func(t *testing.T, document []byte) {
		_, parsed := Parse(document)
		if valid := validate(s, document); (parsed == nil) != (valid == nil) {
			t.Errorf("%q: Parse says %v, the schema says %v", document, parsed, valid)
		}
	})
}
