// Package awserror tells by the code of an error of the AWS SDK, or else by the
// HTTP status of the answer, what kind of failure it is.
//
// It has no words for people and no cures: those differ between a device, which
// names neither buckets nor keys, and model-build. Their packages store and
// awsaccess call it.
package awserror

import (
	"errors"
	"net/http"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// Kind is what went wrong.
type Kind int

const (
	Unavailable Kind = iota // not reached, broken off, or a fault of AWS' own
	Throttled               // too many calls at once
	NotFound                // what was asked for does not exist
	Denied                  // the credentials are good, their rights not enough
	Credentials             // AWS does not know the keys or the signature
	Expired                 // the credentials were good once
	Clock                   // the signature is of another time than AWS'
	Region                  // the resource is in another region
	Changed                 // a condition on what is there does not hold
	Refused                 // understood and refused for another reason
)

var byCode = map[string]Kind{
	"NoSuchKey": NotFound, "NoSuchBucket": NotFound, "NotFound": NotFound, "NoSuchVersion": NotFound,
	"ResourceNotFoundException": NotFound, "ResourceNotFound": NotFound,

	"AccessDenied": Denied, "AccessDeniedException": Denied, "Forbidden": Denied, "AllAccessDisabled": Denied,
	"UnauthorizedOperation": Denied, "InvalidObjectState": Denied,

	"InvalidAccessKeyId": Credentials, "SignatureDoesNotMatch": Credentials, "InvalidSignatureException": Credentials,
	"UnrecognizedClientException": Credentials, "InvalidClientTokenId": Credentials,

	"ExpiredToken": Expired, "ExpiredTokenException": Expired, "InvalidToken": Expired, "TokenRefreshRequired": Expired,

	"RequestTimeTooSkewed": Clock, "RequestExpired": Clock,

	"PermanentRedirect": Region, "AuthorizationHeaderMalformed": Region, "IllegalLocationConstraintException": Region,

	"PreconditionFailed": Changed,

	"Throttling": Throttled, "ThrottlingException": Throttled, "TooManyRequestsException": Throttled, "SlowDown": Throttled,
}

// A proxy or another server may answer with codes of its own, or none.
var byStatus = map[int]Kind{
	http.StatusNotFound:           NotFound,
	http.StatusForbidden:          Denied,
	http.StatusUnauthorized:       Denied,
	http.StatusMovedPermanently:   Region,
	http.StatusTemporaryRedirect:  Region,
	http.StatusPreconditionFailed: Changed,
}

// KindOf returns the kind of an error that a client of the SDK returned.
func KindOf(err error) Kind {
	var api smithy.APIError
	if errors.As(err, &api) {
		if kind, ok := byCode[api.ErrorCode()]; ok {
			return kind
		}
	}
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		if kind, ok := byStatus[response.HTTPStatusCode()]; ok {
			return kind
		}
	}
	if api != nil && api.ErrorFault() != smithy.FaultServer {
		return Refused
	}
	return Unavailable
}
