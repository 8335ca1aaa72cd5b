package store

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/dev/awstest"
	"github.com/brainseg/brainseg/internal/device/store/fault"
)

// exchange plays the Greengrass token exchange service, and counts the credentials
// that it has given; while it is away it gives none.
type exchange struct {
	given atomic.Int64
	away  atomic.Bool
}

func newExchange(t *testing.T, s *awstest.Moto) *exchange {
	t.Helper()
	e := &exchange{}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if e.away.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		e.given.Add(1)
		device := s.Users[awstest.Device]
		_, _ = io.WriteString(w, `{"AccessKeyId": "`+device.ID+`", "SecretAccessKey": "`+device.Secret+
			`", "Token": "", "Expiration": "`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`"}`)
	}))
	t.Cleanup(service.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", service.URL)
	t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "token of the component")
	return e
}

func TestCredentialsThatExpireUnderWayAreFetchedAnew(t *testing.T) {
	s := useS3(t, awstest.Device)
	if _, err := s3Store(t, s.Endpoint).Write(t.Context(), "s3://scans/expiry/slice.png", []byte("slice"), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	e := newExchange(t, s)
	var valid atomic.Int64 // the credentials from this one on are good
	endpoint := through(t, s.Endpoint, func(_ http.ResponseWriter, forward http.HandlerFunc) http.HandlerFunc {
		if e.given.Load() >= valid.Load() {
			return forward
		}
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `<?xml version="1.0"?><Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>`)
		}
	})
	store := s3Store(t, endpoint)
	for name, use := range map[string]func() error{
		"a write": func() error {
			_, err := store.Write(t.Context(), "s3://scans/expiry/mask.png", []byte("mask"), WriteOptions{})
			return err
		},
		"a large write": func() error {
			_, err := store.Write(t.Context(), "s3://scans/expiry/volume.nii", make([]byte, 9<<20), WriteOptions{})
			return err
		},
		"a read": func() error {
			_, err := store.Read(t.Context(), Reference{Location: "s3://scans/expiry/slice.png"})
			return err
		},
		"a fetch": func() error {
			to, err := store.Fetch(t.Context(), "s3://scans/expiry/", t.TempDir())
			if err == nil {
				if files, _ := os.ReadDir(filepath.Clean(to)); len(files) == 0 {
					err = errors.New("nothing was fetched")
				}
			}
			return err
		},
	} {
		if err := use(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		before := e.given.Load()
		valid.Store(before + 1)
		if err := use(); err != nil || e.given.Load() != before+1 {
			t.Errorf("%s: error %v, and the credentials were fetched %d times", name, err, e.given.Load()-before)
		}
	}
	before := e.given.Load()
	valid.Store(before + 100)
	_, err := store.Write(t.Context(), "s3://scans/expiry/mask.png", []byte("mask"), WriteOptions{})
	checkPrivate(t, err, fault.ErrCredentials, "expiry")
	if n := e.given.Load() - before; n != 1 {
		t.Errorf("while S3 accepts none they were fetched %d times", n)
	}
}

func TestCredentialsThatAreAwayComeBack(t *testing.T) {
	s := useS3(t, awstest.Device)
	e := newExchange(t, s)
	t.Setenv("AWS_MAX_ATTEMPTS", "1") // of the exchange: no pauses
	e.away.Store(true)
	store := s3Store(t, s.Endpoint)
	_, err := store.Write(t.Context(), "s3://scans/mask.png", []byte("mask"), WriteOptions{})
	checkPrivate(t, err, fault.ErrCredentials, "mask")
	e.away.Store(false)
	if _, err := store.Write(t.Context(), "s3://scans/mask.png", []byte("mask"), WriteOptions{}); err != nil {
		t.Errorf("when they are back: %v", err)
	}
}

func TestWhatIsWrittenIsEncryptedAsConfigured(t *testing.T) {
	s := useS3(t, awstest.Device)
	const key = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	var mu sync.Mutex
	var asked [][2]string // algorithm and key of requests that begin an object
	endpoint := through(t, s.Endpoint, func(_ http.ResponseWriter, forward http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if query := r.URL.Query(); r.Method == http.MethodPut && !query.Has("partNumber") || query.Has("uploads") {
				mu.Lock()
				asked = append(asked, [2]string{r.Header.Get("X-Amz-Server-Side-Encryption"), r.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id")})
				mu.Unlock()
			}
			forward(w, r)
		}
	})
	for encryption, want := range map[string][2]string{"": {}, "AES256": {"AES256"}, "aws:kms": {"aws:kms"}, key: {"aws:kms", key}} {
		asked = nil
		store := s3Store(t, endpoint, func(o *Options) { o.S3.Encryption = encryption })
		for _, bytes := range []int{10, 9 << 20} {
			if _, err := store.Write(t.Context(), "s3://scans/encrypted", make([]byte, bytes), WriteOptions{}); err != nil {
				t.Errorf("%q: %v", encryption, err)
			}
		}
		if len(asked) != 2 || asked[0] != want || asked[1] != want {
			t.Errorf("%q: S3 was asked for %q", encryption, asked)
		}
	}
}
