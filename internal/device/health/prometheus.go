package health

import (
	"bytes"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// contentType is of version 0.0.4 of Prometheus' text format, which every scraper
// reads.
const contentType = "text/plain; version=0.0.4; charset=utf-8"

// Handler serves Prometheus' text to GET and HEAD.
func (h *Health) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD are served here", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(h.prometheus()) // whoever asked may have gone
	})
}

// prometheus writes the document of now, and the histograms, as text.
func (h *Health) prometheus() []byte {
	d := h.Document()
	h.mu.Lock()
	latency, inside, model := h.latency, h.inside, h.model
	h.mu.Unlock()
	m := model()
	var t text
	t.family("brainseg_info", "gauge", "What runs here.")
	t.sample("brainseg_info", 1, "version", d.Version, "model", m.Name, "model_version", m.Version)
	t.gauge("brainseg_uptime_seconds", "Since the process started.", d.UptimeSeconds)
	t.gauge("brainseg_unanswered_requests", "Requests accepted and not answered.", float64(d.Unanswered))
	t.gauge("brainseg_oldest_unanswered_seconds", "Since the oldest unanswered request was accepted; 0 for none.", d.OldestSeconds)
	t.family("brainseg_answers_total", "counter", "Answers by code; succeeded for those without an error.")
	t.labelled("brainseg_answers_total", "code", counts(d.Answers))
	t.histogram("brainseg_slice_duration_seconds", "From the acceptance of a slice to its answer, of those that succeeded.", &latency)
	t.histogram("brainseg_inference_duration_seconds", "The part of it in the network.", &inside)
	t.gauge("brainseg_memory_resident_bytes", "Memory of the process.", float64(d.Memory.Resident))
	t.gauge("brainseg_memory_peak_bytes", "The most memory that the process had.", float64(d.Memory.Peak))
	t.gauge("brainseg_memory_heap_bytes", "Memory in use of Go's heap.", float64(d.Memory.Heap))
	t.gauge("brainseg_memory_limit_bytes", "The most memory that the process may have; 0 where the system does not tell.", float64(d.Memory.Limit))
	t.gauge("go_goroutines", "Goroutines that exist.", float64(runtime.NumGoroutine()))
	t.gauge("brainseg_stuck_reads", "Reads and writes that were given up and have not come back.", float64(d.StuckReads))
	t.counter("brainseg_hung_inferences_total", "Runs of the model that were given up.", d.HungInferences)
	t.family("brainseg_lost_total", "counter", "What was dropped, by kind.")
	t.labelled("brainseg_lost_total", "kind", counts(d.Lost))
	t.family("brainseg_waiting_messages", "gauge", "Messages that are not sent yet, by kind.")
	t.labelled("brainseg_waiting_messages", "kind", counts(d.Waiting))
	t.family("brainseg_waiting_seconds", "gauge", "For how long there have been such messages without a break.")
	t.labelled("brainseg_waiting_seconds", "kind", d.WaitingSeconds)
	t.counter("brainseg_models_loaded_total", "New models that took over.", d.Models.Loaded)
	t.counter("brainseg_models_refused_total", "New models that were refused.", d.Models.Refused)
	if trial := d.Models.Trial; trial != nil {
		t.gauge("brainseg_model_trial_slices", "Slices tried by the model on trial, or the last that was.", float64(trial.Slices))
		t.gauge("brainseg_model_trial_agreement", "Its mean Dice coefficient with the model in use.", trial.Agreement)
	}
	refused := 0.0
	if d.ConfigurationRefused {
		refused = 1
	}
	t.gauge("brainseg_configuration_refused", "1 where the configuration that a deployment has set cannot be used, and the one before is in effect.", refused)
	t.counter("brainseg_damaged_stores_total", "Databases that were set aside.", d.DamagedStores)
	t.counter("brainseg_resubscribed_total", "How often the request topic was subscribed to again.", d.Resubscribed)
	t.counter("brainseg_deaf_total", "How often of these because the nucleus had forgotten the subscription.", d.Deaf)
	return t.Bytes()
}

func counts[N int | uint64](from map[string]N) map[string]float64 {
	to := make(map[string]float64, len(from))
	for name, n := range from {
		to[name] = float64(n)
	}
	return to
}

// text is Prometheus' text format.
type text struct{ bytes.Buffer }

func (t *text) family(name, kind, help string) {
	t.WriteString("# HELP " + name + " " + help + "\n# TYPE " + name + " " + kind + "\n")
}

// sample writes a line; labels are names, each followed by its value.
func (t *text) sample(name string, value float64, labels ...string) {
	t.WriteString(name)
	for i := 0; i < len(labels); i += 2 {
		t.WriteByte("{,"[min(i, 1)])
		t.WriteString(labels[i] + `="` + escapeLabel.Replace(strings.ToValidUTF8(labels[i+1], "?")) + `"`)
	}
	if len(labels) > 0 {
		t.WriteByte('}')
	}
	t.WriteByte(' ')
	t.WriteString(strconv.FormatFloat(value, 'g', -1, 64))
	t.WriteByte('\n')
}

var escapeLabel = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func (t *text) gauge(name, help string, value float64) {
	t.family(name, "gauge", help)
	t.sample(name, value)
}

func (t *text) counter(name, help string, value uint64) {
	t.family(name, "counter", help)
	t.sample(name, float64(value))
}

func (t *text) labelled(name, label string, values map[string]float64) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		t.sample(name, values[key], label, key)
	}
}

func (t *text) histogram(name, help string, d *durations) {
	t.family(name, "histogram", help)
	total := uint64(0)
	for i, n := range d.buckets {
		total += n
		bound := "+Inf"
		if i < len(bounds) {
			bound = strconv.FormatFloat(bounds[i]/1000, 'g', -1, 64)
		}
		t.sample(name+"_bucket", float64(total), "le", bound)
	}
	t.sample(name+"_sum", d.sum/1000)
	t.sample(name+"_count", float64(d.count))
}
