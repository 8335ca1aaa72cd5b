package objects

import (
	"context"
	"errors"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"github.com/brainseg/brainseg/internal/awserror"
	"github.com/brainseg/brainseg/internal/device/store/fault"
)

// call does what do asks of S3, and once more with new credentials where those that
// were kept have expired by S3's clock, or were withdrawn.
func (o *Store) call(ctx context.Context, do func(*s3.Client) error) error {
	for again := false; ; again = true {
		client, err := o.connect(ctx)
		if err == nil {
			err = do(client)
		}
		if err == nil || again || awserror.KindOf(err) != awserror.Expired {
			return err
		}
		o.mu.Lock()
		kept, ok := o.creds.(*aws.CredentialsCache)
		o.mu.Unlock()
		if !ok {
			return err
		}
		kept.Invalidate()
	}
}

// connect builds the client on first use, and again after a failure to do so,
// then makes sure that there are credentials: asked for apart, their absence is
// not mistaken for a fault of S3. The SDK keeps them until they expire.
func (o *Store) connect(ctx context.Context) (*s3.Client, error) {
	client, creds, err := o.load(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := creds.Retrieve(ctx); err != nil {
		return nil, fault.Fault{Kind: fault.ErrCredentials, Cause: err}
	}
	return client, nil
}

func (o *Store) load(ctx context.Context) (*s3.Client, aws.CredentialsProvider, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.client != nil {
		return o.client, o.creds, nil
	}
	// The SDK's own log lines would name objects.
	loaded, err := config.LoadDefaultConfig(ctx,
		config.WithLogger(logging.Nop{}), config.WithRegion(o.options.Region))
	if err != nil {
		return nil, nil, fault.Fault{Kind: fault.ErrCredentials, Cause: err}
	}
	if loaded.Region == "" && o.options.Endpoint != "" {
		loaded.Region = "us-east-1" // other servers sign with it by custom
	}
	if loaded.Region == "" {
		return nil, nil, fault.Fault{Kind: fault.ErrCredentials, Hint: "set the region of the bucket"}
	}
	// The SDK's client, certificates and proxies included, does not let go of
	// its connections; one around its transport does. Redirects are not
	// followed: S3 sends them for another region, with a signature that fails.
	if built, ok := loaded.HTTPClient.(*awshttp.BuildableClient); ok {
		o.transport = built.GetTransport()
		loaded.HTTPClient = &http.Client{
			Transport:     o.transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	o.creds = loaded.Credentials
	// Retries are the SDK's own, 3 attempts; a body that breaks off is not read again.
	o.client = s3.NewFromConfig(loaded, func(options *s3.Options) {
		options.UsePathStyle = o.options.PathStyle
		if o.options.Endpoint != "" {
			options.BaseEndpoint = &o.options.Endpoint
		}
	})
	return o.client, o.creds, nil
}

// objectFailure gives an error of the SDK its kind. ctx is the caller's, limited
// the same with our timeout.
func objectFailure(ctx, limited context.Context, err error) error {
	if ctx.Err() != nil {
		return fault.OfContext(ctx.Err())
	}
	if limited.Err() != nil {
		return fault.Fault{Kind: fault.ErrTimeout, Cause: err}
	}
	var known fault.Fault
	if errors.As(err, &known) {
		return known
	}
	f := fault.Fault{Kind: fault.ErrUnavailable, Cause: err}
	switch awserror.KindOf(err) {
	case awserror.NotFound:
		f.Kind = fault.ErrNotFound
	case awserror.Denied:
		f.Kind = fault.ErrDenied
	case awserror.Credentials, awserror.Expired:
		f.Kind, f.Hint = fault.ErrCredentials, "S3 does not accept them"
	case awserror.Clock:
		f.Kind, f.Hint = fault.ErrCredentials, "set the device's clock"
	case awserror.Region:
		f.Kind, f.Hint = fault.ErrCredentials, "the bucket may be in another region"
	}
	return f
}
