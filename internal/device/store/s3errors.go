package store

import (
	"context"
	"errors"
	"net/http"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// objectFailure gives an error of the SDK its kind. ctx is the caller's, limited
// the same with our timeout.
func objectFailure(ctx, limited context.Context, err error) error {
	if ctx.Err() != nil {
		return contextFailure(ctx.Err())
	}
	if limited.Err() != nil {
		return failure{kind: ErrTimeout, cause: err}
	}
	var known failure
	if errors.As(err, &known) {
		return known
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		if f, ok := codeFailure(api.ErrorCode()); ok {
			f.cause = err
			return f
		}
	}
	// A proxy or another server may answer with codes of its own, or none.
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		switch response.HTTPStatusCode() {
		case http.StatusNotFound:
			return failure{kind: ErrNotFound, cause: err}
		case http.StatusForbidden, http.StatusUnauthorized:
			return failure{kind: ErrDenied, cause: err}
		case http.StatusMovedPermanently, http.StatusTemporaryRedirect:
			return failure{kind: ErrCredentials, hint: regionHint, cause: err}
		}
	}
	return failure{kind: ErrUnavailable, cause: err}
}

const regionHint = "the bucket may be in another region"

func codeFailure(code string) (failure, bool) {
	switch code {
	case "NoSuchKey", "NoSuchBucket", "NotFound":
		return failure{kind: ErrNotFound}, true
	case "AccessDenied", "AllAccessDisabled", "InvalidObjectState":
		return failure{kind: ErrDenied}, true
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired":
		return failure{kind: ErrCredentials, hint: "S3 does not accept them"}, true
	case "RequestTimeTooSkewed":
		return failure{kind: ErrCredentials, hint: "set the device's clock"}, true
	case "PermanentRedirect", "AuthorizationHeaderMalformed":
		return failure{kind: ErrCredentials, hint: regionHint}, true
	}
	return failure{}, false
}
