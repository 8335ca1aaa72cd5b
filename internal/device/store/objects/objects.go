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
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	transfer "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

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
