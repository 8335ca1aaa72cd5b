package request

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/brainseg/brainseg/schemas"
)

func fullResult() Result {
	sum := strings.Repeat("0", 64)
	return Result{
		ID: "a", Status: StatusSucceeded, Time: time.Unix(1, 0).UTC(), Thing: "thing", Complete: true,
		Mask:    &File{Path: "/out/a.png", SHA256: sum, Bytes: 5, Base64: []byte("hello")},
		Overlay: &File{URI: "s3://b/a.overlay.png", SHA256: sum, Bytes: 5},
		Tissues: []Tissue{{Value: 0, Name: "background", Colour: "#000000", Pixels: 1}, {Value: 1, Name: "csf", Colour: "#0000ff", Pixels: 2, Share: 1}},
		Image:   &Dimensions{Width: 3, Height: 1}, Model: &Model{Name: "m", Version: "1.0.0", SHA256: sum}, Timings: &Timings{Total: 1},
	}
}

func scanResult() Result {
	r := fullResult()
	file := File{Path: "/out/a.scan/scan_dseg.nii.gz", SHA256: strings.Repeat("0", 64), Bytes: 5}
	r.Mask, r.Overlay, r.Tissues, r.Image = nil, nil, nil, nil
	r.Scan = &ScanResult{
		Files: []ScanFile{{Kind: KindLabels, File: file}}, Tissues: []ScanTissue{{Value: 1, Name: "csf", Colour: "#0000ff", Voxels: 2, Millilitres: 0.5, Fraction: 1}},
		BrainMillilitres: 0.5, Quality: ScanQuality{Agreement: 0.8, Flags: []string{"not-a-head"}}, Planes: []string{"axial"}, Slices: 3, Warnings: []string{"qfac-sign"},
		Grid: &ScanGrid{Size: [3]int{1, 2, 3}, Spacing: [3]float64{1, 1, 0.5}, Orientation: "RAS"},
	}
	return r
}

func TestResultsAndStatusFollowTheirSchemas(t *testing.T) {
	results := schema(t, schemas.Result)
	for name, r := range map[string]Result{
		"success": fullResult(),
		"scan":    scanResult(),
		"refusal": Failed("a", NewError(CodeImageUnreadable, "there is a gap", nil).WithReason("missing-slices")),
		"failure": Failed("a", NewError(CodeBusy, "the queue is full", nil)),
		"fault":   Failed("", errors.New("anything")),

		"acknowledgement": Accepted("a"),
	} {
		document, err := r.Encode(0)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(results, document); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := validate(results, []byte(`{"id":"a","status":"failed","time":"1970-01-01T00:00:00Z","complete":true}`)); err == nil {
		t.Error("schema accepts a failure without an error")
	}
	document, err := json.Marshal(Status{Message: ErrorMessage("x"), State: StateReady, Request: 1, Code: CodeBusy, Progress: 0.5, Time: time.Unix(1, 0), Thing: "t", Model: &Model{Name: "m", Version: "1"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(schema(t, schemas.Status), document); err != nil {
		t.Error(err)
	}
	health := Health{
		Version: "1", Answers: map[string]uint64{"succeeded": 1}, Latency: &Quantiles{Count: 1, P50: 1.5, P95: 1.5, P99: 1.5, Max: 1.5}, Inference: &Quantiles{Count: 1},
		Lost: map[string]uint64{"results": 1}, Waiting: map[string]int{"status": 1}, WaitingSeconds: map[string]float64{"status": 1.5},
	}
	for _, h := range []Health{health, {Answers: map[string]uint64{}}} {
		if document, err = json.Marshal(Status{Message: MessageHealth, State: StateReady, Health: &h}); err != nil {
			t.Fatal(err)
		}
		if err := validate(schema(t, schemas.Status), document); err != nil {
			t.Error(err)
		}
	}
}

func TestResultLeavesOutWhatDoesNotFit(t *testing.T) {
	full := fullResult()
	full.Mask.Base64 = make([]byte, 9000)
	document, err := full.Encode(7000)
	if err != nil {
		t.Fatal(err)
	}
	var got Result
	if err := json.Unmarshal(document, &got); err != nil {
		t.Fatal(err)
	}
	if got.Complete || got.Mask == nil || got.Mask.Base64 != nil || len(got.Tissues) != 2 {
		t.Errorf("inline mask that is too large: got %s", document)
	}
	if len(full.Mask.Base64) != 9000 {
		t.Error("Encode changed its receiver")
	}
	for range 1000 {
		full.Tissues = append(full.Tissues, Tissue{Name: "one of very many classes", Colour: "#ffffff"})
	}
	if document, err = full.Encode(1000); err != nil || len(document) > 1000 {
		t.Errorf("many classes: %d bytes, %v", len(document), err)
	}
	if err := validate(schema(t, schemas.Result), document); err != nil {
		t.Errorf("shortened result: %v", err)
	}
}

func TestAnAnswerIsAlwaysSent(t *testing.T) {
	long := fullResult()
	long.Prefix = strings.Repeat("&", MaxReference)
	long.Bucket, long.Mask.Path, long.Mask.URI = strings.Repeat("b", 255), "", "s3://"+long.Bucket+"/"+long.Prefix
	long.Overlay = nil
	document, err := long.Encode(3000)
	if err != nil || !bytes.Contains(document, []byte(long.Mask.URI)) {
		t.Errorf("an ampersand takes more than a byte: %v, %.200s", err, document)
	}
	results := schema(t, schemas.Result)
	for _, id := range []string{"a", strings.Repeat(`"`, MaxID), strings.Repeat("🧠", MaxID), strings.Repeat("\u2028", MaxID), strings.Repeat("<", MaxID)} {
		succeeded, failed := long, Failed(id, NewError(CodeInvalidRequest, strings.Repeat("x", 1000), nil))
		succeeded.ID, failed.Time = id, long.Time
		for _, r := range []Result{succeeded, failed} {
			document, err := r.Encode(MinResult)
			if err != nil || len(document) > MinResult {
				t.Errorf("id %.8q: %d bytes, %v", id, len(document), err)
				continue
			}
			if err := validate(results, document); err != nil {
				t.Errorf("id %.8q: %v", id, err)
			}
			var got Result
			if err := json.Unmarshal(document, &got); err != nil || got.ID != id || got.Error == nil || got.Complete {
				t.Errorf("id %.8q: %+v, %v", id, got, err)
			}
		}
	}
}

func TestEachAttemptToSendAnAnswerIsNumbered(t *testing.T) {
	r := fullResult()
	r.Thing = `"attempt":7}`
	document, err := r.Encode(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, attempt := range []int{1, 2, 1_000_000} {
		document := WithAttempt(document, attempt)
		var got Result
		if err := json.Unmarshal(document, &got); err != nil || got.Attempt != attempt || got.Thing != r.Thing {
			t.Errorf("attempt %d: %s, %v", attempt, document, err)
		}
		if err := validate(schema(t, schemas.Result), document); err != nil {
			t.Error(err)
		}
	}
}

func TestNothingOfARequestIsInItsSummary(t *testing.T) {
	for _, document := range []string{`{"id":"a","JohnSmith19700101":1}`, `{"id":"a","image":{"JohnSmith19700101":1}}`, `{"id":"a","image":{"path":"x"},"output":{"JohnSmith19700101":1}}`} {
		_, err := Parse([]byte(document))
		e := AsError(err)
		if !strings.Contains(e.Message, "JohnSmith19700101") {
			t.Errorf("the requester is not told: %q", e.Message)
		}
		if strings.Contains(e.Summary(), "JohnSmith") {
			t.Errorf("everybody is told: %q", e.Summary())
		}
	}
}

func TestInternalErrorsAreNotTold(t *testing.T) {
	r := Failed("a", errors.New("open /patients/doe.png: no such file"))
	if r.Error.Code != CodeInternal || strings.Contains(r.Error.Message, "doe") {
		t.Errorf("got %+v", r.Error)
	}
}
