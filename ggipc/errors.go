package ggipc

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/brainseg/brainseg/ggipc/frame"
)

var (
	// ErrNotComponent says that the environment has no socket path or token:
	// the process was not started by a nucleus.
	ErrNotComponent = errors.New("not started by a Greengrass nucleus: environment variables " + EnvSocketPath + " and " + EnvAuthToken + " are needed")

	// ErrUnreachable says that the nucleus' socket cannot be dialled, or that
	// nothing behind it answers the handshake.
	ErrUnreachable = errors.New("greengrass nucleus is unreachable")

	// ErrTokenRefused says that the nucleus answered the handshake with a
	// refusal. A process with a new token is the cure.
	ErrTokenRefused = errors.New("greengrass nucleus refused the token of this process")

	// ErrConnectionLost says that the connection ended while a call waited for
	// its answer: the nucleus may or may not have carried it out.
	ErrConnectionLost = errors.New("connection to the greengrass nucleus was lost")

	// ErrClosed says that the client or the subscription was closed by its owner.
	ErrClosed = errors.New("closed")

	// errStreamEnded says that the nucleus ended a subscription without an error.
	errStreamEnded = errors.New("the nucleus ended the subscription")
)

// Code names an error of the Greengrass service model.
type Code string

// The codes that callers decide by. Others may appear.
const (
	CodeUnauthorized                Code = "UnauthorizedError"
	CodeInvalidArguments            Code = "InvalidArgumentsError"
	CodeServiceError                Code = "ServiceError"
	CodeResourceNotFound            Code = "ResourceNotFoundError"
	CodeConflict                    Code = "ConflictError"
	CodeFailedUpdateConditionCheck  Code = "FailedUpdateConditionCheckError"
	CodeComponentNotFound           Code = "ComponentNotFoundError"
	CodeInvalidToken                Code = "InvalidTokenError"
	CodeInternalServerError         Code = "InternalServerError"
	CodeUnsupportedOperation        Code = "UnsupportedOperationError"
	codeNone                        Code = ""
	serviceNamespace                     = "aws.greengrass#"
	classicUnsupportedText               = "Unsupported Operation"
	classicUnsupportedServiceSuffix      = "is not supported by Greengrass"
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

// errorFrom reads an APPLICATION_ERROR frame. The two nuclei spell the same
// error differently, and the classic one has plain text where a handler failed.
func errorFrom(operation string, f *frame.Frame) *Error {
	e := &Error{Operation: operation}
	var body struct {
		Message      string `json:"message"`
		LiteMessage  string `json:"_message"`
		Code         string `json:"_errorCode"`
		Unmodelled   string `json:"error"`
		ResourceType string `json:"resourceType"`
		ResourceName string `json:"resourceName"`
	}
	modelType := strings.TrimPrefix(f.Headers[frame.HeaderServiceModelType], serviceNamespace)
	if err := json.Unmarshal(f.Payload, &body); err != nil {
		e.Code = Code(modelType)
		if e.Code == codeNone {
			e.Code = CodeInternalServerError
		}
		e.Message = strings.ToValidUTF8(string(f.Payload), "?")
		return e
	}
	e.Message = body.Message
	if e.Message == "" {
		e.Message = body.LiteMessage
	}
	e.Code = Code(body.Code)
	if e.Code == codeNone {
		e.Code = Code(modelType)
	}
	if body.Unmodelled == classicUnsupportedText || e.Code == CodeServiceError && strings.HasSuffix(e.Message, classicUnsupportedServiceSuffix) {
		e.Code = CodeUnsupportedOperation
	}
	if e.Code == codeNone {
		e.Code = CodeInternalServerError
	}
	e.ResourceType, e.ResourceName = body.ResourceType, body.ResourceName
	return e
}
