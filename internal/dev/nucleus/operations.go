package nucleus

import (
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc/frame"
	"github.com/brainseg/brainseg/internal/dev/nucleus/accesscontrol"
	"github.com/brainseg/brainseg/internal/dev/nucleus/ipcserver"
	"github.com/brainseg/brainseg/internal/dev/nucleus/operation"
)

// handler performs an operation with n.mu held and returns the response. A
// subscription is registered by it, so that no event comes before it.
type handler struct {
	perform     func(*Nucleus, *operation.Request) (map[string]any, error)
	subscribes  bool
	classicOnly bool
}

var handlers = map[string]handler{
	"PublishToTopic":                 {perform: (*Nucleus).publishToTopic},
	"SubscribeToTopic":               {perform: (*Nucleus).subscribeToTopic, subscribes: true},
	"PublishToIoTCore":               {perform: (*Nucleus).publishToIoTCore},
	"SubscribeToIoTCore":             {perform: (*Nucleus).subscribeToIoTCore, subscribes: true},
	"GetConfiguration":               {perform: func(n *Nucleus, r *operation.Request) (map[string]any, error) { return n.configuration.Get(r) }},
	"UpdateConfiguration":            {perform: func(n *Nucleus, r *operation.Request) (map[string]any, error) { return n.configuration.Update(r) }},
	"SubscribeToConfigurationUpdate": {perform: (*Nucleus).subscribeToConfigurationUpdate, subscribes: true},
	"UpdateState":                    {perform: (*Nucleus).updateState},
	"SubscribeToComponentUpdates":    {perform: (*Nucleus).subscribeToComponentUpdates, subscribes: true, classicOnly: true},
	"DeferComponentUpdate":           {perform: (*Nucleus).deferComponentUpdate, classicOnly: true},
	"ValidateAuthorizationToken":     {perform: (*Nucleus).validateAuthorizationToken},
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

// perform runs the operation of an opening frame and answers.
func (n *Nucleus) perform(stream ipcserver.Stream, f *frame.Frame) {
	r := &operation.Request{Profile: n.profile, Stream: stream, Operation: strings.TrimPrefix(f.Headers[frame.HeaderOperation], operation.ModelPrefix)}
	h, known := handlers[r.Operation]
	var err error
	switch {
	case n.profile == Lite && (f.Type != frame.ApplicationMessage || f.Flags != 0):
		err = &operation.Refusal{Code: operation.CodeService}
	case !known || h.classicOnly && n.profile == Lite:
		err = unsupported(n.profile, r.Operation)
	default:
		err = r.Read(f)
	}

	n.mu.Lock()
	defer n.mu.Unlock()
	var response map[string]any
	if err == nil {
		response, err = h.perform(n, r)
	}
	if err == nil {
		if h.subscribes {
			stream.Keep()
		}
		err = r.Answer(response, h.subscribes)
	}
	if err != nil {
		n.log.Debug("request refused", zap.String("component", stream.Component()), zap.String("operation", r.Operation), zap.Error(err))
		if err := r.Refuse(err); err != nil {
			n.log.Debug("answer not sent", zap.Error(err))
		}
	}
}

// unsupported refuses an operation that is not served, in the words of the profile.
func unsupported(profile Profile, name string) error {
	switch {
	case profile == Lite:
		return &operation.Refusal{Code: operation.CodeService}
	case slices.Contains(otherOperations, name):
		return &operation.Refusal{Code: operation.CodeService, Message: fmt.Sprintf("Operation %s%s is not supported by Greengrass", operation.ModelPrefix, name)}
	}
	return operation.ErrNeverHeardOf
}

// subscription is a stream on which messages or questions are sent.
type subscription struct {
	stream     ipcserver.Stream
	filter     string // local topics and IoT Core
	fromOthers bool   // local topics: not what the same component publishes
}

// event sends a document on a subscription.
func (sub *subscription) event(model string, payload []byte) {
	sub.stream.SendEvent(operation.Message(model, payload))
}

// subscribe adds a subscription to one of the lists. n.mu is held.
func (n *Nucleus) subscribe(list *[]*subscription, sub *subscription) {
	n.unsubscribe(sub.stream) // lite takes a stream id twice
	*list = append(*list, sub)
}

// unsubscribe takes a stream out of the lists that have it. n.mu is held.
// The stream stays open for the client.
func (n *Nucleus) unsubscribe(stream ipcserver.Stream) {
	n.configuration.Unsubscribe(stream)
	n.unsubscribeOther(stream)
}

// unsubscribeOther leaves a subscription to changes of configuration. n.mu is held.
func (n *Nucleus) unsubscribeOther(stream ipcserver.Stream) {
	for _, list := range []*[]*subscription{&n.topics, &n.iotCore, &n.updates} {
		*list = slices.DeleteFunc(*list, func(sub *subscription) bool { return sub.stream == stream })
	}
	n.checkUpdate()
}

// ended is told by the server of streams that are over.
func (n *Nucleus) ended(stream ipcserver.Stream) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.unsubscribe(stream)
}

func (n *Nucleus) subscribeToConfigurationUpdate(r *operation.Request) (map[string]any, error) {
	response, err := n.configuration.Subscribe(r)
	if err == nil {
		n.unsubscribeOther(r.Stream)
	}
	return response, err
}

// authorize holds a request to the accessControl of its component.
func (n *Nucleus) authorize(r *operation.Request, service, resource string) error {
	policies, _ := n.configuration.Value(r.Stream.Component(), "accessControl")
	if accesscontrol.Allowed(policies, n.thingName, accesscontrol.Use{Service: service, Operation: operation.ModelPrefix + r.Operation, Resource: resource}) {
		return nil
	}
	message := "Principal is not authorized to perform " + service + ":" + operation.ModelPrefix + r.Operation
	if n.profile == Lite {
		message = "IPC Operation not authorized."
	}
	return &operation.Refusal{Code: operation.CodeUnauthorized, Message: message}
}

// tokenValidators may ask whether a token is good: it is a service for AWS' own
// components.
var tokenValidators = []string{"aws.greengrass.StreamManager"}

func (n *Nucleus) validateAuthorizationToken(r *operation.Request) (map[string]any, error) {
	token, present, err := r.Text("token")
	if err != nil {
		return nil, err
	}
	if !slices.Contains(tokenValidators, r.Stream.Component()) {
		message := r.Stream.Component() + " is not authorized to perform " + operation.ModelPrefix + r.Operation
		if n.profile == Lite {
			message = "Component does not have access to token verification IPC command."
		}
		return nil, &operation.Refusal{Code: operation.CodeUnauthorized, Message: message}
	}
	if _, good := n.Holder(token); !good || !present {
		message := "Unable to authenticate given token"
		if n.profile == Lite {
			message = "Invalid token used by stream manager when trying to authorize."
		}
		return nil, &operation.Refusal{Code: operation.CodeInvalidToken, Message: message}
	}
	return map[string]any{"isValid": true}, nil
}
