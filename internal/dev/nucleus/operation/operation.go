// Package operation has what the operations of the local nucleus have in common:
// arguments read as the imitated nucleus reads them, its refusals in its own
// words, and the frames of answers and events as its service model has them.
//
// It performs none. Package nucleus and its package configuration do, and refuse
// with a Refusal or what the methods of Request return.
package operation

import (
	"errors"
	"fmt"
	"strings"

	"github.com/brainseg/brainseg/ggipc/frame"
	"github.com/brainseg/brainseg/internal/dev/nucleus/document"
	"github.com/brainseg/brainseg/internal/dev/nucleus/ipcserver"
)

// ModelPrefix stands before every name of the service model.
const ModelPrefix = "aws.greengrass#"

// What nucleus lite has room for when it decodes a request.
const (
	maxValuesLite = 200 // keys and values
	maxDepthLite  = 16  // of a request: 13 below jsonMessage.message
)

// Request is one operation that a client asked for.
type Request struct {
	Profile   ipcserver.Profile
	Stream    ipcserver.Stream
	Operation string // without ModelPrefix
	Arguments map[string]any
}

// Refusal is an error of the service model in an answer.
type Refusal struct {
	Code    string // without ModelPrefix
	Message string
}

func (r *Refusal) Error() string { return r.Code + ": " + r.Message }

// Errors outside the service model, which the classic nucleus answers in its own
// way and lite with an empty ServiceError.
var (
	// ErrHandlerThrew is what a classic handler leaves behind that failed: an
	// answer in plain text.
	ErrHandlerThrew = errors.New("request cannot be parsed")
	// ErrNeverHeardOf marks an operation that is not in the service model.
	ErrNeverHeardOf = errors.New("operation is not in the service model")
)

// Codes of refusals.
const (
	CodeConflict     = "FailedUpdateConditionCheckError"
	CodeInvalid      = "InvalidArgumentsError"
	CodeInvalidToken = "InvalidTokenError"
	CodeNotFound     = "ResourceNotFoundError"
	CodeService      = "ServiceError"
	CodeUnauthorized = "UnauthorizedError"
)

// Read reads the arguments of the opening frame, which must be one object.
func (r *Request) Read(f *frame.Frame) error {
	v, err := document.Decode(f.Payload)
	args, ok := v.(map[string]any)
	if err != nil || !ok {
		return ErrHandlerThrew
	}
	if r.Profile == ipcserver.Lite {
		if document.CountValues(args) > maxValuesLite || document.Depth(args) > maxDepthLite {
			return ErrHandlerThrew
		}
		if err := document.LiteNumbers(args); err != nil {
			return ErrHandlerThrew
		}
	}
	r.Arguments = args
	return nil
}

// Invalid refuses an argument in the words of the profile: classic says what is
// wrong, lite gives a ServiceError with one sentence for all.
func (r *Request) Invalid(message string) error {
	if r.Profile == ipcserver.Lite {
		code := CodeService
		if strings.HasSuffix(r.Operation, "Configuration") || strings.HasSuffix(r.Operation, "ConfigurationUpdate") {
			code = CodeInvalid
		}
		return &Refusal{Code: code, Message: "Received invalid parameters."}
	}
	return &Refusal{Code: CodeInvalid, Message: message}
}

// Mistyped refuses an argument of the wrong JSON type, on which the parser of
// the classic nucleus throws.
func (r *Request) Mistyped() error {
	if r.Profile == ipcserver.Lite {
		return r.Invalid("")
	}
	return ErrHandlerThrew
}

// Unusable refuses a union as the profile does: the classic nucleus fails over
// it with a ServiceError.
func (r *Request) Unusable(message string) error {
	if r.Profile == ipcserver.Lite {
		return r.Invalid("")
	}
	return &Refusal{Code: CodeService, Message: message}
}

// Text returns a string argument and whether it is there. Lite refuses an
// explicit null, classic takes it for absent.
func (r *Request) Text(name string) (value string, present bool, err error) {
	v, present := r.Arguments[name]
	if !present || v == nil && r.Profile == ipcserver.Classic {
		return "", false, nil
	}
	value, ok := v.(string)
	if !ok {
		return "", false, r.Mistyped()
	}
	return value, true, nil
}

// Strings returns a list of strings, nil where it is absent.
func (r *Request) Strings(name string) ([]string, error) {
	v, present := r.Arguments[name]
	if !present || v == nil && r.Profile == ipcserver.Classic {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, r.Mistyped()
	}
	values := make([]string, len(list))
	for i, element := range list {
		if values[i], ok = element.(string); !ok {
			return nil, r.Mistyped()
		}
	}
	return values, nil
}

// Message makes a frame of the service model.
func Message(model string, payload []byte) *frame.Frame {
	return &frame.Frame{
		Type: frame.ApplicationMessage, Payload: payload,
		Headers: map[string]string{frame.HeaderContentType: "application/json", frame.HeaderServiceModelType: ModelPrefix + model},
	}
}

// Answer sends the response. A classic nucleus ends the stream with it, but for
// that of a subscription.
func (r *Request) Answer(response map[string]any, subscribed bool) error {
	payload, err := document.Append(nil, response)
	if err != nil {
		return err
	}
	answer := Message(r.Operation+"Response", payload)
	if r.Profile == ipcserver.Classic && !subscribed {
		answer.Flags = frame.TerminateStream
	}
	if r.Stream.Send(answer) != nil {
		return &Refusal{Code: CodeService} // a configuration larger than a frame
	}
	return nil
}

// Refuse answers with an error and ends the stream.
func (r *Request) Refuse(err error) error {
	f := &frame.Frame{
		Type: frame.ApplicationError, Flags: frame.TerminateStream,
		Headers: map[string]string{frame.HeaderContentType: "application/json"},
	}
	var modelled *Refusal
	body := make(map[string]any)
	switch {
	case errors.As(err, &modelled):
		f.Headers[frame.HeaderServiceModelType] = ModelPrefix + modelled.Code
		body["_message"], body["_errorCode"] = modelled.Message, modelled.Code
		if r.Profile == ipcserver.Classic {
			body["message"], body["_service"] = modelled.Message, "aws.greengrass#GreengrassCoreIPC"
		}
	case errors.Is(err, ErrNeverHeardOf):
		body["error"], body["message"] = "Unsupported Operation", fmt.Sprintf("%s%s operation is not supported", ModelPrefix, r.Operation)
	case r.Profile == ipcserver.Lite:
		return r.Refuse(&Refusal{Code: CodeService})
	default:
		f.Headers[frame.HeaderContentType] = "text/plain"
		f.Payload = []byte("InternalServerError")
		return r.Stream.Send(f)
	}
	f.Payload, err = document.Append(nil, body)
	if err != nil {
		return err
	}
	return r.Stream.Send(f)
}
