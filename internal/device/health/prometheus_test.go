package health

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/brainseg/brainseg/internal/device/request"
)

func scrape(t *testing.T, h *Health, method string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.Handler().ServeHTTP(w, httptest.NewRequest(method, "/metrics", nil))
	return w
}

func TestPrometheusReadsTheText(t *testing.T) {
	h, _ := newHealth()
	h.Model(func() request.Model { return request.Model{Name: "a \"name\"\\\n\xff", Version: "2.0.0"} })
	h.Add(func(d *request.Health) {
		d.Lost["status"], d.Waiting["cloudStatus"], d.Deaf, d.Resubscribed, d.DamagedStores = 7, 5, 1, 2, 3
		d.ConfigurationRefused = true
	})
	h.Accepted(1)
	for _, ms := range []float64{1, 2.5, 3, 70_000} {
		h.Answered(2, success(ms, 1))
	}
	h.Answered(3, request.Failed("", request.NewError(request.CodeBusy, "the queue is full", nil)))

	w := scrape(t, h, http.MethodGet)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != contentType {
		t.Fatalf("status %d, type %q", w.Code, w.Header().Get("Content-Type"))
	}
	problems, err := promlint.New(bytes.NewReader(w.Body.Bytes())).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	value := func(name, label string) float64 {
		for _, m := range families[name].GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetValue() == label {
					return m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
			if label == "" {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
		t.Errorf("%s has no sample with %q", name, label)
		return 0
	}
	for _, want := range []struct {
		name, label string
		value       float64
	}{
		{"brainseg_info", "a \"name\"\\\n?", 1}, {"brainseg_unanswered_requests", "", 1},
		{"brainseg_answers_total", "succeeded", 4}, {"brainseg_answers_total", "busy", 1},
		{"brainseg_lost_total", "status", 7}, {"brainseg_waiting_messages", "cloudStatus", 5},
		{"brainseg_deaf_total", "", 1}, {"brainseg_resubscribed_total", "", 2}, {"brainseg_damaged_stores_total", "", 3}, {"brainseg_configuration_refused", "", 1},
	} {
		if got := value(want.name, want.label); got != want.value {
			t.Errorf("%s %q is %v, want %v", want.name, want.label, got, want.value)
		}
	}
	histogram := families["brainseg_slice_duration_seconds"].GetMetric()[0].GetHistogram()
	buckets := histogram.GetBucket()
	if histogram.GetSampleCount() != 4 || histogram.GetSampleSum() != 70.0065 || buckets[0].GetCumulativeCount() != 2 || buckets[1].GetCumulativeCount() != 3 ||
		buckets[len(bounds)-1].GetCumulativeCount() != 3 || buckets[len(bounds)].GetCumulativeCount() != 4 {
		t.Errorf("histogram: %v", histogram)
	}
}

func TestMetricsAreOnlyRead(t *testing.T) {
	h, _ := newHealth()
	for method, want := range map[string]int{http.MethodHead: http.StatusOK, http.MethodPost: http.StatusMethodNotAllowed} {
		if w := scrape(t, h, method); w.Code != want {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
}

func TestEveryMetricIsDocumented(t *testing.T) {
	h, _ := newHealth()
	page, err := os.ReadFile("../../../docs/health.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`(?m)^# TYPE (\S+) `).FindAllSubmatch(h.prometheus(), -1)
	if len(names) < 15 {
		t.Fatalf("only %d metrics", len(names))
	}
	for _, name := range names {
		if !bytes.Contains(page, []byte("`"+string(name[1])+"`")) {
			t.Errorf("docs/health.md lacks %s", name[1])
		}
	}
	messages, err := h.CloudWatch().Messages()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		name := regexp.MustCompile(`"metricName":"(\w+)"`).FindSubmatch(m)
		if !bytes.Contains(page, []byte("`"+string(name[1])+"`")) {
			t.Errorf("docs/health.md lacks %s", name[1])
		}
	}
}
