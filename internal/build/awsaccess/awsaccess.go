// Package awsaccess finds the AWS credentials and the region by the SDK's
// ordinary chain, makes S3 clients that also reach S3-compatible servers, and
// turns the SDK's errors into sentences with a cure.
//
// It makes no calls of any service but those by which credentials are got. The
// packages of model-build that talk to AWS call it.
package awsaccess

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"github.com/brainseg/brainseg/internal/awserror"
)

// Options say where to look first. The zero value is the ordinary chain.
type Options struct {
	// Region is used instead of that of the environment and the shared files.
	Region string
	// Profile of the shared files; default that of the environment.
	Profile string
}

// The kinds of *Error, for errors.Is.
var (
	// ErrCredentials: there are none, or AWS does not accept them.
	ErrCredentials = errors.New("no usable AWS credentials")
	// ErrRegion: there is none, or the resource is in another.
	ErrRegion = errors.New("the AWS region is missing or wrong")
	// ErrDenied: the credentials are good, but their rights are not enough.
	ErrDenied = errors.New("access denied")
	// ErrNotFound: what was asked for does not exist.
	ErrNotFound = errors.New("not found")
	// ErrChanged: the object is no longer what it was a moment ago.
	ErrChanged = errors.New("the object was changed meanwhile")
	// ErrUnavailable: AWS cannot be reached or has a fault of its own.
	ErrUnavailable = errors.New("AWS cannot be reached or failed")
	// ErrRefused: AWS understood and said no for another reason.
	ErrRefused = errors.New("AWS refused the call")
)

// Error says what was being done, what came back, and the cure.
type Error struct {
	// Doing is what was being done, with what: "describe training job x".
	Doing string
	// Kind is one of the sentinels of this package.
	Kind error
	// Code and Message are AWS' own, or empty.
	Code, Message string
	// Cure is what to do about it, or empty.
	Cure string
	// Cause is the SDK's error.
	Cause error
}

// Error returns one line.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %v", e.Doing, e.Kind)
	switch {
	case e.Message != "" && e.Message != e.Code:
		fmt.Fprintf(&b, " (%s: %s)", e.Code, e.Message)
	case e.Code != "":
		fmt.Fprintf(&b, " (%s)", e.Code)
	case e.Cause != nil:
		fmt.Fprintf(&b, " (%v)", bare(e.Cause))
	}
	if e.Cure != "" {
		b.WriteString("; " + e.Cure)
	}
	return b.String()
}

// bare takes off what the SDK wraps around an error of the network: how often it
// tried, and that an answer which never came has no status.
func bare(err error) error {
	var network *url.Error
	if errors.As(err, &network) {
		return network
	}
	return err
}

// Unwrap lets errors.Is and errors.As find the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

// Load returns the configuration of the SDK, after it has made sure that there
// are a region and credentials: asked for apart, their absence is not mistaken
// for a fault of a service.
func Load(ctx context.Context, options Options) (aws.Config, error) {
	const doing = "find the AWS configuration"
	loaded, err := config.LoadDefaultConfig(ctx, config.WithLogger(logging.Nop{}),
		config.WithRegion(options.Region), config.WithSharedConfigProfile(options.Profile), config.WithRetryer(newRetryer))
	if err != nil {
		return aws.Config{}, &Error{Doing: doing, Kind: ErrCredentials, Cause: err, Cure: "check ~/.aws/config, ~/.aws/credentials and AWS_PROFILE"}
	}
	if loaded.Region == "" {
		return aws.Config{}, &Error{Doing: doing, Kind: ErrRegion, Cure: "set AWS_REGION, or give --region"}
	}
	if _, err := loaded.Credentials.Retrieve(ctx); err != nil {
		if ctx.Err() != nil {
			return aws.Config{}, fmt.Errorf("%s: %w", doing, context.Cause(ctx))
		}
		return aws.Config{}, &Error{Doing: doing, Kind: ErrCredentials, Cause: err, Cure: "run aws configure or aws sso login, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"}
	}
	return loaded, nil
}

// newRetryer repeats what the SDK does by itself, and calls whose answer broke
// off, which it does not: reading the answer counts as done there. All calls of
// model-build can be repeated.
func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		brokenOff := retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			var unread *smithy.DeserializationError
			if errors.As(err, &unread) && errors.Is(err, io.ErrUnexpectedEOF) {
				return aws.TrueTernary
			}
			return aws.UnknownTernary
		})
		o.Retryables = append([]retry.IsErrorRetryable{brokenOff}, retry.DefaultRetryables...)
	})
}

// S3 makes a client. With an endpoint of one's own (AWS_ENDPOINT_URL,
// AWS_ENDPOINT_URL_S3 or the shared files) the bucket is put into the path, as
// other servers need it.
func S3(configuration aws.Config) *s3.Client {
	return s3.NewFromConfig(configuration, func(o *s3.Options) {
		o.UsePathStyle = o.BaseEndpoint != nil
	})
}

// Failure gives an error of the SDK its kind and cure. doing says what was being
// done, needs which rights that takes ("s3:GetObject on arn:aws:s3:::b/k").
// Errors that have a kind already, and those of contexts, are only wrapped.
func Failure(doing, needs string, err error) error {
	var known *Error
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &known) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	e := &Error{Doing: doing, Cause: err}
	var api smithy.APIError
	if errors.As(err, &api) {
		e.Code, e.Message = api.ErrorCode(), api.ErrorMessage()
	}
	switch awserror.KindOf(err) {
	case awserror.NotFound:
		e.Kind, e.Cure = ErrNotFound, "check the name and the region"
	case awserror.Denied:
		e.Kind, e.Cure = ErrDenied, "the caller needs "+needs+", by its own policy and by that of the resource"
	case awserror.Credentials:
		e.Kind, e.Cure = ErrCredentials, "AWS does not accept them: check the keys, or run aws configure"
	case awserror.Expired:
		e.Kind, e.Cure = ErrCredentials, "they have expired: get new ones (aws sso login)"
	case awserror.Clock:
		e.Kind, e.Cure = ErrCredentials, "the signature is too old: set this machine's clock"
	case awserror.Region:
		e.Kind, e.Cure = ErrRegion, "the bucket is in another region: give --region"
	case awserror.Changed:
		e.Kind, e.Cure = ErrChanged, "start again"
	case awserror.Throttled:
		e.Kind, e.Cure = ErrUnavailable, "too many calls at once: wait a minute and start again"
	case awserror.Refused:
		e.Kind = ErrRefused
	default:
		e.Kind = ErrUnavailable
		if api == nil {
			e.Cure = "check the network, AWS_ENDPOINT_URL and the region, and try again"
		}
	}
	return e
}
