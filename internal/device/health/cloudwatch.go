package health

import (
	"encoding/json"
	"time"

	"github.com/brainseg/brainseg/internal/device/request"
)

// CloudWatchTopic is where AWS' component aws.greengrass.Cloudwatch takes metrics,
// on the device.
const CloudWatchTopic = "cloudwatch/metric/put"

// namespace is that of the metrics in CloudWatch; the component adds the name of
// the device as a dimension.
const namespace = "brainseg"

// CloudWatch makes messages for AWS' component. Counts in them are of the time
// since the messages before. It is for one goroutine.
type CloudWatch struct {
	health *Health
	before request.Health
}

// CloudWatch begins to count now.
func (h *Health) CloudWatch() *CloudWatch { return &CloudWatch{health: h, before: h.Document()} }

// metric is a message of one metric, in the form that the component documents.
type metric struct {
	Request struct {
		Namespace  string     `json:"namespace"`
		MetricData metricData `json:"metricData"`
	} `json:"request"`
}

type metricData struct {
	MetricName string  `json:"metricName"`
	Timestamp  int64   `json:"timestamp"` // seconds
	Value      float64 `json:"value"`
	Unit       string  `json:"unit"`
}

// Messages returns the metrics of now, each a JSON object for CloudWatchTopic.
func (c *CloudWatch) Messages() ([]json.RawMessage, error) {
	now, d, before := c.health.now(), c.health.Document(), c.before
	c.before = d
	done, failed := outcomes(d.Answers)
	doneBefore, failedBefore := outcomes(before.Answers)
	values := []metricData{
		{MetricName: "UnansweredRequests", Value: float64(d.Unanswered), Unit: "Count"},
		{MetricName: "OldestUnanswered", Value: d.OldestSeconds, Unit: "Seconds"},
		{MetricName: "Succeeded", Value: float64(done - doneBefore), Unit: "Count"},
		{MetricName: "Failed", Value: float64(failed - failedBefore), Unit: "Count"},
		{MetricName: "Lost", Value: float64(sum(d.Lost) - sum(before.Lost)), Unit: "Count"},
		{MetricName: "ModelsRefused", Value: float64(d.Models.Refused - before.Models.Refused), Unit: "Count"},
		{MetricName: "StuckReads", Value: float64(d.StuckReads), Unit: "Count"},
		{MetricName: "MemoryResident", Value: float64(d.Memory.Resident), Unit: "Bytes"},
	}
	if d.Latency != nil && done > doneBefore {
		values = append(values,
			metricData{MetricName: "LatencyP50", Value: d.Latency.P50, Unit: "Milliseconds"},
			metricData{MetricName: "LatencyP95", Value: d.Latency.P95, Unit: "Milliseconds"})
	}
	messages := make([]json.RawMessage, 0, len(values))
	for _, v := range values {
		var m metric
		m.Request.Namespace, m.Request.MetricData = namespace, v
		m.Request.MetricData.Timestamp = now.Truncate(time.Second).Unix()
		document, err := json.Marshal(m)
		if err != nil {
			return nil, err
		}
		messages = append(messages, document)
	}
	return messages, nil
}

func outcomes(answers map[string]uint64) (done, failed uint64) {
	done = answers[succeeded]
	return done, sum(answers) - done
}

func sum(counts map[string]uint64) (n uint64) {
	for _, v := range counts {
		n += v
	}
	return n
}
