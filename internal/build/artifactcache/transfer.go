package artifactcache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	transfer "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/renameio/v2"

	"github.com/brainseg/brainseg/internal/build/awsaccess"
)

// errNothing: a range was answered with nothing of it.
var errNothing = errors.New("the server sent nothing of what was asked for")

// API is the part of the S3 client that this package uses.
type API interface {
	transfermanager.S3APIClient
}

// Options are the settings of FromS3. The zero value is ready to use.
type Options struct {
	// VersionID of the object; default the newest.
	VersionID string
	// SHA256 that the artifact must have, in hexadecimal; default any.
	SHA256 string
	// MaxBytes is the largest artifact taken; default 16 GiB.
	MaxBytes int64
	// PartBytes is the length of the parts that come in parallel; default 8 MiB.
	PartBytes int64
	// Parallel is how many parts come at once; default 5.
	Parallel int
	// Attempts is how often a transfer is begun again that brought nothing new;
	// default 5. One that brought something is always continued.
	Attempts int
	// Stall is the time without a byte after which a transfer is begun again;
	// default 30 seconds.
	Stall time.Duration
	// Progress is told how many bytes of how many are there, first of all those
	// that an earlier call has brought; default nobody. It is called from several
	// goroutines, one at a time.
	Progress func(done, size int64)
}

func (o Options) withDefaults() Options {
	set := func(v *int64, d int64) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&o.MaxBytes, 16<<30)
	set(&o.PartBytes, 8<<20)
	if o.Parallel <= 0 {
		o.Parallel = 5
	}
	if o.Attempts <= 0 {
		o.Attempts = 5
	}
	if o.Stall <= 0 {
		o.Stall = 30 * time.Second
	}
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	return o
}

// object is an object of S3 as it is now.
type object struct {
	Bucket    string `json:"bucket"`
	Key       string `json:"key"`
	VersionID string `json:"versionId,omitempty"`
	ETag      string `json:"etag"`
	Size      int64  `json:"size"`
}

// known is what the cache remembers of an object: objects/<id>.json.
type known struct {
	object
	SHA256    string `json:"sha256"`
	CheckedBy string `json:"checkedBy"`
}

func (o object) id() string {
	document, _ := json.Marshal(o) // strings and a number
	sum := sha256.Sum256(document)
	return hex.EncodeToString(sum[:16])
}

func (o object) uri() string { return "s3://" + o.Bucket + "/" + o.Key }

// Split returns bucket and key of an s3:// URI, or ErrReference.
func Split(uri string) (bucket, key string, err error) {
	rest, ok := strings.CutPrefix(uri, "s3://")
	bucket, key, _ = strings.Cut(rest, "/")
	if !ok || len(bucket) < 3 || key == "" || strings.HasSuffix(key, "/") || len(key) > 1024 {
		return "", "", fmt.Errorf("%w: %q", ErrReference, uri)
	}
	return bucket, key, nil
}

// FromS3 returns the object at uri. It transfers what the cache does not have,
// in parallel parts, goes on where an earlier call was interrupted, and compares
// size and checksum with those that S3 keeps.
func (c *Cache) FromS3(ctx context.Context, api API, uri string, options Options) (Artifact, error) {
	options = options.withDefaults()
	doing := "fetch " + uri
	bucket, key, err := Split(uri)
	if err != nil {
		return Artifact{}, fmt.Errorf("fetch the artifact: %w", err)
	}
	in := &s3.HeadObjectInput{Bucket: &bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled}
	if options.VersionID != "" {
		in.VersionId = &options.VersionID
	}
	head, err := api.HeadObject(ctx, in)
	if err != nil {
		return Artifact{}, awsaccess.Failure(doing, needs(bucket, key), err)
	}
	o := object{Bucket: bucket, Key: key, VersionID: aws.ToString(head.VersionId), ETag: aws.ToString(head.ETag), Size: aws.ToInt64(head.ContentLength)}
	if o.Size <= 0 || o.Size > options.MaxBytes {
		return Artifact{}, fmt.Errorf("%s: %w: %d bytes, and 1 to %d are allowed", doing, ErrSize, o.Size, options.MaxBytes)
	}
	a, ok, err := c.recall(ctx, o)
	if err == nil && !ok {
		in.VersionId = head.VersionId
		a, err = c.transfer(ctx, api, o, checksumOf(ctx, api, in, head), options)
	}
	if err != nil {
		return Artifact{}, fmt.Errorf("%s: %w", doing, err)
	}
	if options.SHA256 != "" && !strings.EqualFold(options.SHA256, a.SHA256) {
		return Artifact{}, fmt.Errorf("%s: %w: it has sha256 %s, and %s was asked for", doing, ErrChecksum, a.SHA256, options.SHA256)
	}
	return a, nil
}

func needs(bucket, key string) string {
	return "s3:GetObject on arn:aws:s3:::" + bucket + "/" + key + " (and kms:Decrypt where a key of KMS encrypts it)"
}

// recall returns the artifact of an object that was fetched before.
func (c *Cache) recall(ctx context.Context, o object) (Artifact, bool, error) {
	document, err := os.ReadFile(c.record(o))
	var k known
	if err != nil || json.Unmarshal(document, &k) != nil || k.object != o {
		return Artifact{}, false, nil
	}
	ok, err := c.holds(ctx, k.SHA256)
	a := c.artifact(k)
	a.Cached = true
	return a, ok, err
}

func (c *Cache) record(o object) string { return filepath.Join(c.dir, "objects", o.id()+".json") }

func (c *Cache) artifact(k known) Artifact {
	return Artifact{Path: c.blob(k.SHA256), SHA256: k.SHA256, Size: k.Size, Source: k.uri(), VersionID: k.VersionID, ETag: k.ETag, CheckedBy: k.CheckedBy}
}

// transfer brings the object into the cache.
func (c *Cache) transfer(ctx context.Context, api API, o object, want *checksum, options Options) (a Artifact, err error) {
	p, err := openPartial(ctx, filepath.Join(c.dir, "partial", o.id()), o.Size, func(done int64) { options.Progress(done, o.Size) })
	if err != nil {
		return Artifact{}, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	// Another process may have brought it while this one waited for the lock.
	if a, ok, err := c.recall(ctx, o); ok || err != nil {
		return a, err
	}
	options.Progress(p.arrived(), o.Size)
	sum := ""
	for round := 0; ; round++ {
		if err := fill(ctx, api, o, p, options); err != nil {
			return Artifact{}, err
		}
		var agrees bool
		if sum, agrees, err = want.measure(ctx, newSection(p)); err != nil {
			return Artifact{}, err
		}
		if agrees {
			break
		}
		if err := p.discard(); err != nil {
			return Artifact{}, err
		}
		if round == 1 {
			return Artifact{}, fmt.Errorf("%w: what arrived twice differs from the object's %s; nothing of it was kept; look for a proxy that changes what passes", ErrChecksum, want.name)
		}
	}
	k := known{object: o, SHA256: sum, CheckedBy: BySize}
	if want != nil {
		k.CheckedBy = want.name
	}
	if err := p.finish(c.blob(sum)); err != nil {
		return Artifact{}, err
	}
	document, err := json.MarshalIndent(k, "", "  ")
	if err == nil {
		err = renameio.WriteFile(c.record(o), document, 0o640)
	}
	return c.artifact(k), err
}

// fill fetches the gaps of p until there are none.
func fill(ctx context.Context, api API, o object, p *partial, options Options) error {
	client := transfermanager.New(api, func(t *transfermanager.Options) {
		t.PartSizeBytes, t.Concurrency = options.PartBytes, options.Parallel
		t.GetObjectType = transfer.GetObjectRanges
		t.DisableChecksumValidation = true // of single parts; the whole is checked
	})
	failures := 0
	for {
		gaps := p.gaps()
		if len(gaps) == 0 {
			return nil
		}
		before := p.arrived()
		err := fetch(ctx, client, o, p, gaps[0], options.Stall)
		switch {
		case err == nil && p.arrived() > before:
			continue
		case err == nil:
			err = errNothing
		case ctx.Err() != nil:
			return fmt.Errorf("%w%s", context.Cause(ctx), kept(p, o))
		case p.failed() != nil:
			return fmt.Errorf("write to the cache: %w", p.failed())
		}
		err = awsaccess.Failure("transfer", needs(o.Bucket, o.Key), err)
		if !errors.Is(err, awsaccess.ErrUnavailable) && !errors.Is(err, ErrStalled) {
			return err
		}
		if p.arrived() > before {
			failures = 0
		}
		if failures++; failures >= options.Attempts {
			return fmt.Errorf("%w%s", err, kept(p, o))
		}
		select {
		case <-time.After(time.Duration(failures) * 500 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%w%s", context.Cause(ctx), kept(p, o))
		}
	}
}

// kept says, for people, what an interruption has not cost.
func kept(p *partial, o object) string {
	if p.arrived() == 0 {
		return ""
	}
	return fmt.Sprintf("; %d of %d bytes are kept, so that the next run goes on from there", p.arrived(), o.Size)
}

// fetch brings one gap.
func fetch(ctx context.Context, client *transfermanager.Client, o object, p *partial, gap interval, stall time.Duration) error {
	watched, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(stall, func() { cancel(fmt.Errorf("%w: nothing came for %v", ErrStalled, stall)) })
	defer timer.Stop()
	in := &transfermanager.DownloadObjectInput{
		Bucket: &o.Bucket, Key: &o.Key, IfMatch: &o.ETag,
		Range:    aws.String(fmt.Sprintf("bytes=%d-%d", gap.Start, gap.End-1)),
		WriterAt: alarmed{window{p, gap}, timer, stall},
	}
	if o.VersionID != "" && o.VersionID != "null" {
		in.VersionID = &o.VersionID
	}
	_, err := client.DownloadObject(watched, in)
	if err == nil {
		return nil
	}
	if cause := context.Cause(watched); cause != nil {
		return cause
	}
	return err
}

// alarmed puts the alarm off with every write.
type alarmed struct {
	window
	timer *time.Timer
	stall time.Duration
}

// WriteAt implements io.WriterAt.
func (a alarmed) WriteAt(b []byte, offset int64) (int, error) {
	a.timer.Reset(a.stall)
	return a.window.WriteAt(b, offset)
}
