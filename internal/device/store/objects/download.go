package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/brainseg/brainseg/internal/device/store/fault"
)

// Bounds of what Fetch takes.
const (
	maxFetched      = 20_000  // objects below a prefix
	maxFetchedBytes = 4 << 30 // of all together
)

// Fetch copies what is at an s3:// location into a folder of its own, and returns
// the path of the copy: of one object a file, and of a prefix, which ends in a
// slash, the folder with all objects below it. The folder is empty, and whoever
// calls removes it.
func (o *Store) Fetch(ctx context.Context, location, folder string) (string, error) {
	bucket, key, err := o.split(location)
	if err != nil {
		return "", err
	}
	left := int64(maxFetchedBytes)
	if !strings.HasSuffix(key, "/") {
		to := filepath.Join(folder, fileNameOf(key))
		return to, o.copyTo(ctx, bucket, key, to, &left)
	}
	var list *s3.ListObjectsV2Paginator // of the first page's client
	n := 0
	for list == nil || list.HasMorePages() {
		keys, err := o.page(ctx, &list, bucket, key)
		if err != nil {
			return "", err
		}
		for _, key := range keys {
			if strings.HasSuffix(key, "/") {
				continue // what consoles make of a folder
			}
			if n++; n > maxFetched {
				return "", fault.Fault{Kind: fault.ErrTooLarge, Hint: fmt.Sprintf("there are more than %d objects below the prefix", maxFetched)}
			}
			// A number keeps names apart that end alike.
			if err := o.copyTo(ctx, bucket, key, filepath.Join(folder, fmt.Sprintf("%05d-%s", n, fileNameOf(key))), &left); err != nil {
				return "", err
			}
		}
	}
	if n == 0 {
		return "", fault.Fault{Kind: fault.ErrNotFound}
	}
	return folder, nil
}

// page lists the next keys below a prefix.
func (o *Store) page(ctx context.Context, list **s3.ListObjectsV2Paginator, bucket, prefix string) (keys []string, err error) {
	limited, cancel := context.WithTimeout(ctx, o.options.Timeout)
	defer cancel()
	var page *s3.ListObjectsV2Output
	err = o.call(limited, func(client *s3.Client) (err error) {
		if *list == nil {
			*list = s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
		}
		page, err = (*list).NextPage(limited)
		return err
	})
	if err != nil {
		return nil, objectFailure(ctx, limited, err)
	}
	for _, object := range page.Contents {
		keys = append(keys, aws.ToString(object.Key))
	}
	return keys, nil
}

// fileNameOf is a file name for an object: the end of its key, by which the reader
// tells formats.
func fileNameOf(key string) string {
	const longest = 100
	name := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, path.Base("/"+key))
	if len(name) > longest {
		name = strings.ToValidUTF8(name[len(name)-longest:], "")
	}
	return "object-" + name // no hidden file, nor one called ..
}

// copyTo copies one object into a new file, and takes its bytes off left.
func (o *Store) copyTo(ctx context.Context, bucket, key, to string, left *int64) error {
	limited, cancel := context.WithCancel(ctx)
	defer cancel()
	// The timeout is of the start and of each part: a scan is large.
	watch := newWatchdog(o.options.Timeout, cancel)
	defer watch.stop()
	object, err := o.object(limited, bucket, key)
	if err != nil {
		return objectFailure(ctx, limited, err)
	}
	defer object.Body.Close()
	file, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fault.Fault{Kind: fault.ErrStorage, Cause: err}
	}
	defer file.Close()
	n, err := io.Copy(file, io.LimitReader(&fed{object.Body, watch}, *left+1))
	var disk *os.PathError
	switch {
	case errors.As(err, &disk):
		return fault.Fault{Kind: fault.ErrStorage, Cause: err, Hint: "the copy of the scan does not fit onto the disk"}
	case err != nil:
		return objectFailure(ctx, limited, err)
	case n > *left:
		return fault.TooLarge(maxFetchedBytes)
	}
	*left -= n
	if err := file.Close(); err != nil {
		return fault.Fault{Kind: fault.ErrStorage, Cause: err}
	}
	return nil
}

// watchdog ends a transfer that does not get on.
type watchdog struct {
	timer   *time.Timer
	timeout time.Duration
}

func newWatchdog(timeout time.Duration, end context.CancelFunc) *watchdog {
	return &watchdog{timer: time.AfterFunc(timeout, end), timeout: timeout}
}

func (w *watchdog) stop() { w.timer.Stop() }

// fed is a reader that tells a watchdog when something comes.
type fed struct {
	r     io.Reader
	watch *watchdog
}

// Read implements io.Reader.
func (f *fed) Read(b []byte) (int, error) {
	n, err := f.r.Read(b)
	if n > 0 {
		f.watch.timer.Reset(f.watch.timeout)
	}
	return n, err
}
