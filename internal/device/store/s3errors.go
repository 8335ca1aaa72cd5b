package store

import (
	"context"
	"errors"

	"github.com/brainseg/brainseg/internal/awserror"
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
	f := failure{kind: ErrUnavailable, cause: err}
	switch awserror.KindOf(err) {
	case awserror.NotFound:
		f.kind = ErrNotFound
	case awserror.Denied:
		f.kind = ErrDenied
	case awserror.Credentials, awserror.Expired:
		f.kind, f.hint = ErrCredentials, "S3 does not accept them"
	case awserror.Clock:
		f.kind, f.hint = ErrCredentials, "set the device's clock"
	case awserror.Region:
		f.kind, f.hint = ErrCredentials, "the bucket may be in another region"
	}
	return f
}
