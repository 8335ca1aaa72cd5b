package nucleus

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc/frame"
)

// modelPrefix stands before every name of the service model.
const modelPrefix = "aws.greengrass#"

// request is one operation that a client asked for.
type request struct {
	n         *Nucleus
	c         *connection
	stream    int32
	operation string // without modelPrefix
	component *component
	args      map[string]any
}

// handler performs an operation with n.mu held and returns the response. A
// subscription is registered by it, so that no event comes before it.
type handler struct {
	perform     func(*request) (map[string]any, error)
	subscribes  bool
	classicOnly bool
}

var handlers = map[string]handler{
	"PublishToTopic":                 {perform: publishToTopic},
	"SubscribeToTopic":               {perform: subscribeToTopic, subscribes: true},
	"PublishToIoTCore":               {perform: publishToIoTCore},
	"SubscribeToIoTCore":             {perform: subscribeToIoTCore, subscribes: true},
	"GetConfiguration":               {perform: getConfiguration},
	"UpdateConfiguration":            {perform: updateConfiguration},
	"SubscribeToConfigurationUpdate": {perform: subscribeToConfigurationUpdate, subscribes: true},
	"UpdateState":                    {perform: updateState},
	"SubscribeToComponentUpdates":    {perform: subscribeToComponentUpdates, subscribes: true, classicOnly: true},
	"DeferComponentUpdate":           {perform: deferComponentUpdate, classicOnly: true},
	"ValidateAuthorizationToken":     {perform: validateAuthorizationToken},
}

// otherOperations are in the service model and not served here. The classic
// nucleus tells them apart from operations that it has never heard of.
var otherOperations = []string{
	"CancelLocalDeployment", "CreateDebugPassword", "CreateLocalDeployment", "DeleteThingShadow", "GetClientDeviceAuthToken",
	"GetComponentDetails", "GetLocalDeploymentStatus", "GetSecretValue", "GetThingShadow", "ListComponents", "ListLocalDeployments",
	"ListNamedShadowsForThing", "PauseComponent", "PutComponentMetric", "RestartComponent", "ResumeComponent",
	"SendConfigurationValidityReport", "StopComponent", "SubscribeToCertificateUpdates", "SubscribeToIoTCoreConnectionStatus", "SubscribeToValidateConfigurationUpdates",
	"UpdateThingShadow", "VerifyClientDeviceIdentity", "AuthorizeClientDeviceAction",
}

// refusal is an error of the service model in an answer.
type refusal struct {
	code    string // without modelPrefix
	message string
	extra   map[string]any // further members, classic only
}

func (r *refusal) Error() string { return r.code + ": " + r.message }

// errHandlerThrew is what a classic handler leaves behind that failed outside
// the service model: an answer in plain text.
var errHandlerThrew = errors.New("request cannot be parsed")

const (
	codeConflict        = "FailedUpdateConditionCheckError"
	codeInvalid         = "InvalidArgumentsError"
	codeInvalidToken    = "InvalidTokenError"
	codeNotFound        = "ResourceNotFoundError"
	codeService         = "ServiceError"
	codeUnauthorized    = "UnauthorizedError"
	liteInvalidArgument = "Received invalid parameters."
)

// invalid refuses an argument in the words of the profile: classic says what is
// wrong, lite gives a ServiceError with one sentence for all.
func (r *request) invalid(message string) error {
	if r.n.profile == Lite {
		code := codeService
		if strings.HasSuffix(r.operation, "Configuration") || strings.HasSuffix(r.operation, "ConfigurationUpdate") {
			code = codeInvalid
		}
		return &refusal{code: code, message: liteInvalidArgument}
	}
	return &refusal{code: codeInvalid, message: message}
}

// mistyped refuses an argument of the wrong JSON type, on which the parser of
// the classic nucleus throws.
func (r *request) mistyped() error {
	if r.n.profile == Lite {
		return r.invalid("")
	}
	return errHandlerThrew
}

// text returns a string argument and whether it is there. Lite refuses an
// explicit null, classic takes it for absent.
func (r *request) text(name string) (value string, present bool, err error) {
	v, present := r.args[name]
	if !present || v == nil && r.n.profile == Classic {
		return "", false, nil
	}
	value, ok := v.(string)
	if !ok {
		return "", false, r.mistyped()
	}
	return value, true, nil
}

// strings returns a list of strings, nil where it is absent.
func (r *request) strings(name string) ([]string, error) {
	v, present := r.args[name]
	if !present || v == nil && r.n.profile == Classic {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, r.mistyped()
	}
	values := make([]string, len(list))
	for i, element := range list {
		if values[i], ok = element.(string); !ok {
			return nil, r.mistyped()
		}
	}
	return values, nil
}

// perform runs the operation of an opening frame and queues the answer.
func (c *connection) perform(f *frame.Frame) {
	operation := strings.TrimPrefix(f.Headers[frame.HeaderOperation], modelPrefix)
	r := &request{n: c.n, c: c, stream: f.StreamID, operation: operation}
	h, known := handlers[operation]
	var err error
	switch {
	case c.n.profile == Lite && (f.Type != frame.ApplicationMessage || f.Flags != 0):
		err = &refusal{code: codeService}
	case !known || h.classicOnly && c.n.profile == Lite:
		err = c.unsupported(operation)
	default:
		r.args, err = decodeArguments(f.Payload, c.n.profile)
	}

	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	var response map[string]any
	if err == nil {
		r.component = c.n.components[c.component]
		response, err = h.perform(r)
	}
	var payload []byte
	if err == nil {
		payload, err = appendJSON(nil, response)
	}
	if err == nil {
		answer := message(f.StreamID, operation+"Response", payload)
		if c.n.profile == Classic && !h.subscribes {
			answer.Flags = frame.TerminateStream
		}
		if err = c.send(answer); err == nil {
			return
		}
		err = &refusal{code: codeService} // a configuration larger than a frame
	}
	if err := c.refuse(f.StreamID, operation, err); err != nil {
		c.n.log.Debug("answer not sent", zap.Error(err))
	}
}

// message makes a frame of the service model.
func message(stream int32, model string, payload []byte) *frame.Frame {
	return &frame.Frame{
		Type: frame.ApplicationMessage, StreamID: stream, Payload: payload,
		Headers: map[string]string{frame.HeaderContentType: "application/json", frame.HeaderServiceModelType: modelPrefix + model},
	}
}

// errNeverHeardOf marks an operation that is not in the service model.
var errNeverHeardOf = errors.New("operation is not in the service model")

func (c *connection) unsupported(operation string) error {
	switch {
	case c.n.profile == Lite:
		return &refusal{code: codeService}
	case slices.Contains(otherOperations, operation):
		return &refusal{code: codeService, message: fmt.Sprintf("Operation %s%s is not supported by Greengrass", modelPrefix, operation)}
	}
	return errNeverHeardOf
}

// refuse answers with an error and ends the stream.
func (c *connection) refuse(stream int32, operation string, err error) error {
	c.n.log.Debug("request refused", zap.String("component", c.component), zap.String("operation", operation), zap.Error(err))
	f := &frame.Frame{
		Type: frame.ApplicationError, Flags: frame.TerminateStream, StreamID: stream,
		Headers: map[string]string{frame.HeaderContentType: "application/json"},
	}
	var modelled *refusal
	body := make(map[string]any)
	switch {
	case errors.As(err, &modelled):
		f.Headers[frame.HeaderServiceModelType] = modelPrefix + modelled.code
		body["_message"], body["_errorCode"] = modelled.message, modelled.code
		if c.n.profile == Classic {
			body["message"], body["_service"] = modelled.message, "aws.greengrass#GreengrassCoreIPC"
			for name, value := range modelled.extra {
				body[name] = value
			}
		}
	case errors.Is(err, errNeverHeardOf):
		body["error"], body["message"] = "Unsupported Operation", fmt.Sprintf("%s%s operation is not supported", modelPrefix, operation)
	case c.n.profile == Lite:
		return c.refuse(stream, operation, &refusal{code: codeService})
	default:
		f.Headers[frame.HeaderContentType] = "text/plain"
		f.Payload = []byte("InternalServerError")
		return c.send(f)
	}
	f.Payload, err = appendJSON(nil, body)
	if err != nil {
		return err
	}
	return c.send(f)
}
