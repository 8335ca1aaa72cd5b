// Package objects reads and writes objects of S3, and copies them to files, with
// credentials from the AWS SDK's ordinary chain.
//
// It knows neither limits on images nor local folders; faults are of package fault, and
// name nothing. Package store calls it.
package objects

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	transfer "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"

	"github.com/brainseg/brainseg/internal/awserror"
	settings "github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/store/fault"
)

// Scheme begins the location of an object.
const Scheme = "s3://"

// DefaultTimeout is the default of Options.Timeout.
const DefaultTimeout = 30 * time.Second

// Options configure access to S3; the zero value keeps it off. Credentials come from the AWS SDK's
// ordinary chain: environment, shared files, container (the Greengrass token
// exchange service), instance.
type Options struct {
	// AllowedBuckets are the buckets that may be read and written; none by
	// default, which keeps S3 off. "*" allows every bucket for which the
	// credentials are good.
	AllowedBuckets []string
	// Region of the buckets; default that of the environment (AWS_REGION) or
	// of the shared configuration.
	Region string
	// Endpoint is the URL of an S3-compatible server; default AWS' own.
	Endpoint string
	// PathStyle puts the bucket into the path instead of the host name, as
	// most S3-compatible servers need.
	PathStyle bool
	// Timeout bounds one read or write with its retries; default 30 seconds.
	Timeout time.Duration
	// Encryption is how S3 encrypts what is written: "AES256" by keys of its own,
	// "aws:kms" by the account's key in KMS, the ARN of a key in KMS by that one.
	// Default: as the bucket says.
	Encryption string
}

// Of returns the options that a configuration has.
func Of(c settings.S3) Options {
	return Options{
		AllowedBuckets: c.Buckets, Region: c.Region, Endpoint: c.Endpoint, PathStyle: c.PathStyle, Timeout: c.Timeout, Encryption: c.Encryption,
	}
}

// Store reads and writes whole objects of S3. It is safe for use by several goroutines.
type Store struct {
	options Options

	mu        sync.Mutex
	client    *s3.Client              // guarded by mu; nil until the first use
	creds     aws.CredentialsProvider // guarded by mu; set with client
	transport *http.Transport         // guarded by mu; set with client
}

// New only fills in defaults: the client is built when the first object is asked for.
func New(options Options) *Store {
	if options.Timeout <= 0 {
		options.Timeout = DefaultTimeout
	}
	return &Store{options: options}
}

// Close lets go of idle connections.
func (o *Store) Close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.transport != nil {
		o.transport.CloseIdleConnections()
	}
}

// Get has read take an object in, which has length bytes, or -1 where that is not known.
// It is given what the timeout is left for.
func (o *Store) Get(ctx context.Context, location string, read func(ctx context.Context, body io.Reader, length int64) ([]byte, error)) ([]byte, error) {
	bucket, key, err := o.split(location)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, o.options.Timeout)
	defer cancel()
	object, err := o.object(limited, bucket, key)
	if err != nil {
		return nil, objectFailure(ctx, limited, err)
	}
	// Closing an unread body drops the connection; nothing more is fetched.
	defer object.Body.Close()
	length := int64(-1)
	if object.ContentLength != nil {
		length = *object.ContentLength
	}
	data, err := read(limited, object.Body, length)
	if err != nil {
		return nil, objectFailure(ctx, limited, err)
	}
	return data, nil
}

// Put writes the object at location; the server checks it against a SHA-256, which
// of the whole is sum.
func (o *Store) Put(ctx context.Context, location string, data []byte, sum [sha256.Size]byte) error {
	bucket, key, err := o.split(location)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, o.options.Timeout)
	defer cancel()
	err = o.call(limited, func(client *s3.Client) error {
		if len(data) > partBytes {
			return o.putParts(limited, client, bucket, key, data)
		}
		return o.putWhole(limited, client, bucket, key, data, sum)
	})
	if err != nil {
		return objectFailure(ctx, limited, err)
	}
	return nil
}

// object asks for an object.
func (o *Store) object(ctx context.Context, bucket, key string) (object *s3.GetObjectOutput, err error) {
	err = o.call(ctx, func(client *s3.Client) (err error) {
		object, err = client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
		return err
	})
	return object, err
}

// encryption is what S3 is asked for with a write; "" and nil where the bucket says.
func (o *Store) encryption() (algorithm string, key *string) {
	if strings.HasPrefix(o.options.Encryption, "arn:") {
		return string(types.ServerSideEncryptionAwsKms), &o.options.Encryption
	}
	return o.options.Encryption, nil
}

func (o *Store) putWhole(ctx context.Context, client *s3.Client, bucket, key string, data []byte, sum [sha256.Size]byte) error {
	algorithm, kmsKey := o.encryption()
	_, err := client.PutObject(ctx, &s3.PutObjectInput{
		Bucket:               &bucket,
		Key:                  &key,
		Body:                 bytes.NewReader(data),
		ContentLength:        aws.Int64(int64(len(data))),
		ContentType:          aws.String(http.DetectContentType(data)),
		ChecksumAlgorithm:    types.ChecksumAlgorithmSha256,
		ChecksumSHA256:       aws.String(base64.StdEncoding.EncodeToString(sum[:])),
		ServerSideEncryption: types.ServerSideEncryption(algorithm),
		SSEKMSKeyId:          kmsKey,
	})
	return err
}

// partBytes is the largest object written in one request, and the size of the
// parts of a larger one: what a bad connection makes the SDK send again.
const partBytes = 8 << 20

// putParts writes an object in parts, of which the server checks each against a
// SHA-256. What was written of one that fails is removed.
func (o *Store) putParts(ctx context.Context, client *s3.Client, bucket, key string, data []byte) error {
	algorithm, kmsKey := o.encryption()
	uploader := transfermanager.New(client, func(o *transfermanager.Options) {
		o.PartSizeBytes, o.MultipartUploadThreshold, o.Concurrency = partBytes, partBytes, 2
	})
	_, err := uploader.UploadObject(ctx, &transfermanager.UploadObjectInput{
		Bucket:            &bucket,
		Key:               &key,
		Body:              bytes.NewReader(data),
		ContentType:       aws.String(http.DetectContentType(data)),
		ChecksumAlgorithm: transfer.ChecksumAlgorithmSha256,

		ServerSideEncryption: transfer.ServerSideEncryption(algorithm),
		SSEKMSKeyID:          kmsKey,
	})
	return err
}

// Check refuses a location that is none of an allowed object.
func (o *Store) Check(location string) error {
	_, _, err := o.split(location)
	return err
}

// split returns bucket and key of an allowed location.
func (o *Store) split(location string) (bucket, key string, err error) {
	bucket, key, _ = strings.Cut(strings.TrimPrefix(location, Scheme), "/")
	switch {
	case !validBucket(bucket):
		return "", "", fault.Fault{Kind: fault.ErrReference, Hint: "the bucket's name is not one"}
	case key == "" || len(key) > 1024:
		return "", "", fault.Fault{Kind: fault.ErrReference, Hint: "the key must have 1 to 1024 bytes"}
	}
	if !slices.Contains(o.options.AllowedBuckets, bucket) && !slices.Contains(o.options.AllowedBuckets, "*") {
		hint := ""
		if len(o.options.AllowedBuckets) == 0 {
			hint = "S3 is off until buckets are allowed"
		}
		return "", "", fault.Fault{Kind: fault.ErrBucket, Hint: hint}
	}
	return bucket, key, nil
}

// validBucket admits what S3 ever allowed in a name, so that no bucket can
// change the host or the path of a request.
func validBucket(name string) bool {
	if len(name) < 3 || len(name) > 255 || name[0] == '.' {
		return false
	}
	for _, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_') {
			return false
		}
	}
	return true
}

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
