package request

// Health is how the component fares, in a status message. It names nothing of any
// request. Counts are since the process started, and only grow.
type Health struct {
	Version       string  `json:"version,omitempty"` // of the program
	UptimeSeconds float64 `json:"uptimeSeconds"`

	Unanswered    int     `json:"unanswered"`    // requests accepted and not answered
	OldestSeconds float64 `json:"oldestSeconds"` // since the oldest of them was accepted; 0 for none
	// Answers counts them by code; those without an error are "succeeded".
	Answers map[string]uint64 `json:"answers"`
	// Latency is of the last slices that succeeded, from acceptance to answer; nil
	// where there was none.
	Latency *Quantiles `json:"latencyMs,omitempty"`
	// Inference is the part of it in the network.
	Inference *Quantiles `json:"inferenceMs,omitempty"`

	Memory     Memory `json:"memoryBytes"`
	StuckReads int    `json:"stuckReads"` // reads and writes given up that have not come back
	// HungInferences counts the runs of the model that were given up.
	HungInferences uint64 `json:"hungInferences"`

	// Lost counts what was dropped: "requests" that could not even be answered,
	// "results" that could not be sent, "status" on the device and "cloudStatus".
	Lost map[string]uint64 `json:"lost,omitempty"`
	// Waiting are the messages that are not sent yet, by the same names.
	Waiting map[string]int `json:"waiting,omitempty"`
	// WaitingSeconds is for how long there have been such messages without a break.
	WaitingSeconds map[string]float64 `json:"waitingSeconds,omitempty"`
	// DamagedStores counts the databases that were set aside.
	DamagedStores uint64 `json:"damagedStores"`

	// Models tells of new models.
	Models Models `json:"models"`

	// Resubscribed counts how often the request topic was subscribed to again, and
	// Deaf how often of these because the nucleus had forgotten the subscription.
	Resubscribed uint64 `json:"resubscribed"`
	Deaf         uint64 `json:"deaf"`

	// ConfigurationRefused tells that the configuration which a deployment has set
	// cannot be used, and the one before is in effect.
	ConfigurationRefused bool `json:"configurationRefused,omitempty"`
}

// Quantiles of a duration in milliseconds.
type Quantiles struct {
	Count int     `json:"count"` // that they are of
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// Memory of the process in bytes; what the system does not tell is 0.
type Memory struct {
	Resident int64 `json:"resident"`
	Peak     int64 `json:"peak"`  // the most that was resident
	Heap     int64 `json:"heap"`  // of Go, in use
	Limit    int64 `json:"limit"` // of the process' control groups, or the machine's
}

// MessageHealth is the message of a status that tells Health.
const MessageHealth = "Health."

// Models tells of the models that came while the process ran.
type Models struct {
	Loaded  uint64 `json:"loaded"`          // that took over from the one before
	Refused uint64 `json:"refused"`         // so that the one before stayed in use
	Trial   *Trial `json:"trial,omitempty"` // in progress, or else the last one; nil for none
}

// Trial is of a new model that segments what the one in use has segmented.
type Trial struct {
	Model     Model      `json:"model"` // name and version
	State     TrialState `json:"state"`
	Slices    int        `json:"slices"`    // tried so far
	Of        int        `json:"of"`        // to be tried
	Agreement float64    `json:"agreement"` // mean Dice coefficient of the classes but the background, 0 to 1
}

// TrialState is what became of a trial.
type TrialState string

// The states of a trial.
const (
	TrialRunning   TrialState = "running"
	TrialPassed    TrialState = "passed"    // the model took over
	TrialRefused   TrialState = "refused"   // the one before stayed in use
	TrialWithdrawn TrialState = "withdrawn" // another model was wanted meanwhile
)
