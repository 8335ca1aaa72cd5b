package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	transfer "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"
)

const objectScheme = "s3://"

// objectStore reads and writes whole objects of S3.
type objectStore struct {
	options  S3Options
	maxBytes int64

	mu        sync.Mutex
	client    *s3.Client              // guarded by mu; nil until the first use
	creds     aws.CredentialsProvider // guarded by mu; set with client
	transport *http.Transport         // guarded by mu; set with client
}

// newObjectStore only fills in defaults; connect does the work.
func newObjectStore(options S3Options, maxBytes int64) *objectStore {
	if options.Timeout <= 0 {
		options.Timeout = DefaultTimeout
	}
	return &objectStore{options: options, maxBytes: maxBytes}
}

func (o *objectStore) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.transport != nil {
		o.transport.CloseIdleConnections()
	}
}

// get reads the object at ref's location, at most maxBytes of it.
func (o *objectStore) get(ctx context.Context, ref Reference) ([]byte, error) {
	bucket, key, err := o.split(ref.Location)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, o.options.Timeout)
	defer cancel()
	client, err := o.connect(limited)
	if err != nil {
		return nil, objectFailure(ctx, limited, err)
	}
	object, err := client.GetObject(limited, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return nil, objectFailure(ctx, limited, err)
	}
	// Closing an unread body drops the connection; nothing more is fetched.
	defer object.Body.Close()
	length := int64(-1)
	if object.ContentLength != nil {
		length = *object.ContentLength
	}
	if length > o.maxBytes {
		return nil, tooLarge(o.maxBytes)
	}
	data, err := readBounded(limited, ref.Room, object.Body, length, o.maxBytes)
	if err != nil {
		return nil, objectFailure(ctx, limited, err)
	}
	return data, nil
}

// put writes the object at location; the server checks it against a SHA-256, which
// of the whole is sum.
func (o *objectStore) put(ctx context.Context, location string, data []byte, sum [sha256.Size]byte) error {
	bucket, key, err := o.split(location)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, o.options.Timeout)
	defer cancel()
	client, err := o.connect(limited)
	if err != nil {
		return objectFailure(ctx, limited, err)
	}
	if len(data) > partBytes {
		err = putParts(limited, client, bucket, key, data)
	} else {
		err = putWhole(limited, client, bucket, key, data, sum)
	}
	if err != nil {
		return objectFailure(ctx, limited, err)
	}
	return nil
}

func putWhole(ctx context.Context, client *s3.Client, bucket, key string, data []byte, sum [sha256.Size]byte) error {
	_, err := client.PutObject(ctx, &s3.PutObjectInput{
		Bucket:            &bucket,
		Key:               &key,
		Body:              bytes.NewReader(data),
		ContentLength:     aws.Int64(int64(len(data))),
		ContentType:       aws.String(http.DetectContentType(data)),
		ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
		ChecksumSHA256:    aws.String(base64.StdEncoding.EncodeToString(sum[:])),
	})
	return err
}

// partBytes is the largest object written in one request, and the size of the
// parts of a larger one: what a bad connection makes the SDK send again.
const partBytes = 8 << 20

// putParts writes an object in parts, of which the server checks each against a
// SHA-256. What was written of one that fails is removed.
func putParts(ctx context.Context, client *s3.Client, bucket, key string, data []byte) error {
	uploader := transfermanager.New(client, func(o *transfermanager.Options) {
		o.PartSizeBytes, o.MultipartUploadThreshold, o.Concurrency = partBytes, partBytes, 2
	})
	_, err := uploader.UploadObject(ctx, &transfermanager.UploadObjectInput{
		Bucket:            &bucket,
		Key:               &key,
		Body:              bytes.NewReader(data),
		ContentType:       aws.String(http.DetectContentType(data)),
		ChecksumAlgorithm: transfer.ChecksumAlgorithmSha256,
	})
	return err
}

// split returns bucket and key of an allowed location.
func (o *objectStore) split(location string) (bucket, key string, err error) {
	bucket, key, _ = strings.Cut(strings.TrimPrefix(location, objectScheme), "/")
	switch {
	case !validBucket(bucket):
		return "", "", failure{kind: ErrReference, hint: "the bucket's name is not one"}
	case key == "" || len(key) > 1024:
		return "", "", failure{kind: ErrReference, hint: "the key must have 1 to 1024 bytes"}
	}
	if !slices.Contains(o.options.AllowedBuckets, bucket) && !slices.Contains(o.options.AllowedBuckets, "*") {
		hint := ""
		if len(o.options.AllowedBuckets) == 0 {
			hint = "S3 is off until buckets are allowed"
		}
		return "", "", failure{kind: ErrBucket, hint: hint}
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

// connect builds the client on first use, and again after a failure to do so,
// then makes sure that there are credentials: asked for apart, their absence is
// not mistaken for a fault of S3. The SDK keeps them until they expire.
func (o *objectStore) connect(ctx context.Context) (*s3.Client, error) {
	client, creds, err := o.load(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := creds.Retrieve(ctx); err != nil {
		return nil, failure{kind: ErrCredentials, cause: err}
	}
	return client, nil
}

func (o *objectStore) load(ctx context.Context) (*s3.Client, aws.CredentialsProvider, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.client != nil {
		return o.client, o.creds, nil
	}
	// The SDK's own log lines would name objects.
	loaded, err := config.LoadDefaultConfig(ctx,
		config.WithLogger(logging.Nop{}), config.WithRegion(o.options.Region))
	if err != nil {
		return nil, nil, failure{kind: ErrCredentials, cause: err}
	}
	if loaded.Region == "" && o.options.Endpoint != "" {
		loaded.Region = "us-east-1" // other servers sign with it by custom
	}
	if loaded.Region == "" {
		return nil, nil, failure{kind: ErrCredentials, hint: "set the region of the bucket"}
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
