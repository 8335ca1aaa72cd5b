package ggipc

import (
	"errors"
	"fmt"

	"github.com/brainseg/brainseg/ggipc/frame"
	"github.com/brainseg/brainseg/ggipc/internal/connection"
	"github.com/brainseg/brainseg/ggipc/internal/servicemodel"
)

var (
	// ErrNotComponent says that the environment has no socket path or token:
	// the process was not started by a nucleus.
	ErrNotComponent = errors.New("not started by a Greengrass nucleus: environment variables " + EnvSocketPath + " and " + EnvAuthToken + " are needed")

	// ErrUnreachable says that the nucleus' socket cannot be dialled, or that
	// nothing behind it answers the handshake.
	ErrUnreachable = connection.ErrUnreachable

	// ErrTokenRefused says that the nucleus answered the handshake with a
	// refusal. A process with a new token is the cure.
	ErrTokenRefused = connection.ErrTokenRefused

	// ErrConnectionLost says that the connection ended while a call waited for
	// its answer: the nucleus may or may not have carried it out.
	ErrConnectionLost = connection.ErrLost

	// ErrClosed says that the client or the subscription was closed by its owner.
	ErrClosed = connection.ErrClosed
)

// Code names an error of the Greengrass service model.
type Code string

// The codes that callers decide by. Others may appear.
const (
	CodeUnauthorized               Code = "UnauthorizedError"
	CodeInvalidArguments           Code = "InvalidArgumentsError"
	CodeServiceError               Code = "ServiceError"
	CodeResourceNotFound           Code = "ResourceNotFoundError"
	CodeConflict                   Code = "ConflictError"
	CodeFailedUpdateConditionCheck Code = "FailedUpdateConditionCheckError"
	CodeComponentNotFound          Code = "ComponentNotFoundError"
	CodeInvalidToken               Code = "InvalidTokenError"
	CodeInternalServerError        Code = "InternalServerError"
	CodeUnsupportedOperation       Code = "UnsupportedOperationError"
)

// Error is the nucleus' answer to a call that it did not carry out.
type Error struct {
	Operation    string // without its namespace, such as "PublishToTopic"
	Code         Code
	Message      string // as the nucleus wrote it, may be empty
	ResourceType string // ResourceNotFoundError only
	ResourceName string // ResourceNotFoundError only
}

func (e *Error) Error() string {
	text := fmt.Sprintf("greengrass %s: %s", e.Operation, e.Code)
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// Retryable reports whether the same call may succeed later: the service model
// says so of ServiceError and InvalidTokenError alone.
func (e *Error) Retryable() bool {
	return e.Code == CodeServiceError || e.Code == CodeInvalidToken
}

// HasCode reports whether err is, or wraps, an *Error with that code.
func HasCode(err error, code Code) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

// Unsupported reports whether err says that this nucleus does not have the
// operation. Nucleus lite says it by a ServiceError without a message.
func Unsupported(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Code == CodeUnsupportedOperation || e.Code == CodeServiceError && e.Message == ""
}

// errorFrom reads an APPLICATION_ERROR frame.
func errorFrom(operation string, f *frame.Frame) error {
	r := servicemodel.DecodeRefusal(f.Headers[frame.HeaderServiceModelType], f.Payload)
	return &Error{Operation: operation, Code: Code(r.Code), Message: r.Message, ResourceType: r.ResourceType, ResourceName: r.ResourceName}
}
