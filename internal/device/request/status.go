package request

import "time"

// State is what the component is doing, in status messages.
type State string

// The states.
const (
	StateStarting State = "starting"
	StateReady    State = "ready"
	StateBusy     State = "busy"
	StateStopping State = "stopping"
)

// The messages of the 2018 system, which monitors of its topic know.
const (
	MessageModelLoaded    = "Model loaded."
	MessageAppStarting    = "App starting."
	MessageImageReceived  = "Image received."
	MessageImageProcessed = "Image processed."
)

// MessageModelOnTrial tells that a new model segments beside the one in use.
const MessageModelOnTrial = "Model on trial."

// MessageScanInWork tells of the progress of a scan.
const MessageScanInWork = "Scan in work."

// ErrorMessage returns the status message for an error that a requester was
// told of.
func ErrorMessage(text string) string { return "Error: " + text + "." }

// Status is a message on the status topic. It names nothing of a request but the
// number that the component gave it.
type Status struct {
	Message string `json:"message"`
	State   State  `json:"state"`
	Request uint64 `json:"request,omitempty"` // counted from the start of the process
	Code    Code   `json:"code,omitempty"`    // of an error
	// Progress is how much of a scan's slices are segmented, above 0 to 1.
	Progress float64   `json:"progress,omitempty"`
	Time     time.Time `json:"time"`
	Thing    string    `json:"thing,omitempty"` // the core device's thing name
	Model    *Model    `json:"model,omitempty"`
	Health   *Health   `json:"health,omitempty"` // with MessageHealth
}

// Encode returns the message as JSON.
func (s Status) Encode() ([]byte, error) { return encode(s) }
