package greengrass

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/dev/nucleus"
	"github.com/brainseg/brainseg/internal/device/health"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/schemas"
)

func validates(t testing.TB, schema []byte, document []byte) bool {
	t.Helper()
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema", parsed); err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	return err == nil && compiler.MustCompile("schema").Validate(value) == nil
}

func TestWhoeverAsksIsToldHowTheComponentFares(t *testing.T) {
	t.Parallel()
	d := newDevice(t, nucleus.Lite, nil)
	d.slice("a.png")
	d.launch()
	for document, failed := range map[string]bool{`{"id":"a","image":{"path":"a.png"}}`: false, `{"id":"b","image":{"path":"b.png"}}`: true, `no request`: true} {
		if r := d.ask(document); (r.Error != nil) != failed {
			t.Errorf("%s: %+v", document, r.Error)
		}
	}
	d.publish(" {\n\"health\" : true} ")
	var h *request.Health
	var s request.Status
	for h == nil {
		s = next(t, d.statuses)
		h = s.Health
	}
	answers := map[string]uint64{"succeeded": 1, "image_not_found": 1, "invalid_request": 1}
	for code, n := range answers {
		if h.Answers[code] != n {
			t.Errorf("answers: %v, want %v", h.Answers, answers)
			break
		}
	}
	if s.Message != request.MessageHealth || s.State != request.StateReady || s.Model == nil || h.Latency == nil || h.Latency.Count != 1 || h.Memory.Resident == 0 ||
		h.Unanswered != 0 || h.Lost["requests"] != 0 {
		t.Errorf("status: %+v, health: %+v", s, h)
	}
	document, err := s.Encode()
	if err != nil || !validates(t, schemas.Status, document) {
		t.Errorf("error %v, and it does not follow its schema: %s", err, document)
	}
	if len(d.results) > 0 {
		t.Error("the question was taken for a request")
	}
}

func TestAQuestionForHealthIsToldFromRequests(t *testing.T) {
	for document, want := range map[string]bool{
		health.Question: true, " {\n\"health\" :\ttrue}\n": true,
		`{"health":false}`: false, `{"health":true,"id":"a"}`: false, `{"health":true`: false, `{"id":"health"}`: false, `["health"]`: false, ``: false,
	} {
		if got := health.IsQuestion([]byte(document)); got != want || got != validates(t, schemas.HealthQuestion, []byte(document)) {
			t.Errorf("%q: %v, want %v, and the schema to agree", document, got, want)
		}
	}
}

func TestMetricsGoToTheCloudWatchComponentWhereTheyAreAskedFor(t *testing.T) {
	t.Parallel()
	d := newDevice(t, nucleus.Lite, map[string]any{"health": map[string]any{"cloudwatchSeconds": 1}})
	type metric struct {
		Request struct {
			Namespace  string
			MetricData struct {
				MetricName, Unit string
				Value            float64
			}
		}
	}
	metrics := make(chan metric, 100)
	_, err := d.client.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: health.CloudWatchTopic}, func(_ context.Context, m ggipc.TopicMessage) {
		var got metric
		if err := json.Unmarshal(m.JSON, &got); err != nil { // AWS' component reads JSON messages only
			t.Errorf("%s: %v", m.Bytes(), err)
		}
		metrics <- got
	})
	if err != nil {
		t.Fatal(err)
	}
	d.launch()
	for {
		if m := next(t, metrics).Request; m.Namespace != "brainseg" {
			t.Errorf("%+v", m)
		} else if data := m.MetricData; data.MetricName == "MemoryResident" {
			if data.Value < 1<<20 || data.Unit != "Bytes" {
				t.Errorf("%+v", data)
			}
			return
		}
	}
}
