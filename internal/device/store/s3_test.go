package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brainseg/brainseg/internal/dev/awstest"
	"github.com/brainseg/brainseg/internal/device/store/fault"
)

func TestAnObjectComesBackAsItWasWritten(t *testing.T) {
	store := s3Store(t, useS3(t, awstest.Device).Endpoint)
	data := []byte("\x89PNG\r\n\x1a\n and more")
	sum := sha256.Sum256(data)
	for _, key := range []string{"m.png", "p 1/ü&?#%+=.png", "a/../b//c.png", "s3://odd"} {
		location := "s3://scans/" + key
		written, err := store.Write(t.Context(), location, data, WriteOptions{})
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		want := Written{Location: location, SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(data))}
		if diff := cmp.Diff(want, written); diff != "" {
			t.Errorf("%s (-want +got):\n%s", key, diff)
		}
		got, err := store.Read(t.Context(), Reference{Location: location})
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: read %q, error %v", key, got, err)
		}
	}
}

func TestALargeObjectIsWrittenInParts(t *testing.T) {
	server := useS3(t, awstest.Device)
	behind, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	largest, parts := int64(0), 0
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		mu.Lock()
		defer mu.Unlock()
		largest = max(largest, r.In.ContentLength)
		if r.In.URL.Query().Has("partNumber") {
			parts++
		}
		r.SetURL(behind)
		r.Out.Host = r.In.Host
	}})
	t.Cleanup(proxy.Close)
	store := s3Store(t, proxy.URL, func(o *Options) { o.MaxBytes = 64 << 20 })
	const partBytes = 8 << 20
	data := make([]byte, 2*partBytes+12_345)
	for i := range data {
		data[i] = byte(i >> 8 * 7)
	}
	const location = "s3://scans/volume.nii.gz"
	written, err := store.Write(t.Context(), location, data, WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(data); written.SHA256 != hex.EncodeToString(sum[:]) || written.Bytes != int64(len(data)) {
		t.Errorf("written: %+v", written)
	}
	got, err := store.Read(t.Context(), Reference{Location: location})
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("read %d bytes, error %v", len(got), err)
	}
	_, err = store.Write(t.Context(), "s3://private/volume.nii.gz", data, WriteOptions{})
	checkPrivate(t, err, fault.ErrDenied, "private", "volume")
	mu.Lock()
	defer mu.Unlock()
	if parts != 3 || largest > partBytes+partBytes/8 {
		t.Errorf("%d parts, the largest request of %d bytes", parts, largest)
	}
}

func TestErrorsOfS3HaveTheirKindAndTellNoKey(t *testing.T) {
	s := useS3(t, awstest.Device)
	store := s3Store(t, s.Endpoint, func(o *Options) {
		o.MaxBytes = 100
		o.S3.AllowedBuckets = []string{"scans", "private", "absent-bucket"}
	})
	for key, length := range map[string]int{"exact.png": 100, "long.png": 101, "empty.png": 0} {
		if _, err := store.Write(t.Context(), "s3://scans/"+key, make([]byte, length), WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.Read(t.Context(), Reference{Location: "s3://scans/exact.png"}); err != nil {
		t.Errorf("an object of just the limit: %v", err)
	}
	for location, want := range map[string]error{
		"s3://scans/long.png":                       fault.ErrTooLarge,
		"s3://scans/empty.png":                      fault.ErrEmpty,
		"s3://scans/missing.png":                    fault.ErrNotFound,
		"s3://private/slice.png":                    fault.ErrDenied,
		"s3://elsewhere/slice.png":                  fault.ErrBucket,
		"s3://scans/":                               fault.ErrReference,
		"s3://scans":                                fault.ErrReference,
		"s3:///slice.png":                           fault.ErrReference,
		"s3://":                                     fault.ErrReference,
		"s3://..//slice.png":                        fault.ErrReference,
		"s3://a@b.example/slice.png":                fault.ErrReference,
		"s3://scans/" + strings.Repeat("long", 300): fault.ErrReference,
	} {
		_, err := store.Read(t.Context(), Reference{Location: location})
		checkPrivate(t, err, want, "slice", "missing.png", "private", "elsewhere", "longlong")
	}
	_, err := store.Write(t.Context(), "s3://private/slice.png", []byte("mask"), WriteOptions{})
	checkPrivate(t, err, fault.ErrDenied, "private")
	_, err = store.Write(t.Context(), "s3://elsewhere/slice.png", []byte("mask"), WriteOptions{})
	checkPrivate(t, err, fault.ErrBucket, "elsewhere")
}

func TestABucketThatDoesNotExistIsNotFound(t *testing.T) {
	// With its rights the device is denied what does not exist, as on AWS; the
	// answer for a user who may list is the server's, put on the wire here.
	answer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `<Error><Code>NoSuchBucket</Code><BucketName>absent-bucket</BucketName></Error>`)
	}))
	defer answer.Close()
	useS3(t, awstest.Device)
	_, err := s3Store(t, answer.URL).Read(t.Context(), Reference{Location: "s3://absent-bucket/slice.png"})
	checkPrivate(t, err, fault.ErrNotFound, "absent-bucket")
}

func TestCredentialsAreToldFromRights(t *testing.T) {
	s := useS3(t, awstest.Stranger)
	ref := Reference{Location: "s3://scans/slice.png"}
	_, err := s3Store(t, s.Endpoint).Read(t.Context(), ref)
	checkPrivate(t, err, fault.ErrDenied, "scans")

	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	_, err = s3Store(t, s.Endpoint).Read(t.Context(), ref)
	checkPrivate(t, err, fault.ErrCredentials, "scans")

	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWNUNKNOWN00")
	_, err = s3Store(t, s.Endpoint).Read(t.Context(), ref)
	checkPrivate(t, err, fault.ErrCredentials, "scans")

	t.Setenv("AWS_ACCESS_KEY_ID", "")
	_, err = s3Store(t, s.Endpoint).Read(t.Context(), ref)
	checkPrivate(t, err, fault.ErrCredentials, "scans")
}

func TestCredentialsOfTheContainerEndpointAreUsed(t *testing.T) {
	s := useS3(t, awstest.Device)
	// What the Greengrass token exchange service answers.
	exchange := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "token of the component" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		device := s.Users[awstest.Device]
		_, _ = io.WriteString(w, `{"AccessKeyId": "`+device.ID+`", "SecretAccessKey": "`+device.Secret+
			`", "Token": "", "Expiration": "`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`"}`)
	}))
	defer exchange.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", exchange.URL)
	t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "token of the component")
	if _, err := s3Store(t, s.Endpoint).Write(t.Context(), "s3://scans/exchange.png", []byte("mask"), WriteOptions{}); err != nil {
		var e *fault.Error
		errors.As(err, &e)
		t.Fatal(e.Detail())
	}
}

// through starts a proxy before the server whose responses change may spoil.
func through(t *testing.T, endpoint string, change func(w http.ResponseWriter, forward http.HandlerFunc) http.HandlerFunc) string {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	// The Host header is part of the signature and passes unchanged.
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host }}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		change(w, proxy.ServeHTTP)(w, r)
	}))
	t.Cleanup(front.Close)
	return front.URL
}

func TestATroubledConnectionIsTold(t *testing.T) {
	s := useS3(t, awstest.Device)
	data := bytes.Repeat([]byte("slice "), 20_000)
	if _, err := s3Store(t, s.Endpoint).Write(t.Context(), "s3://scans/slice.png", data, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + refused.Addr().String()
	_ = refused.Close()
	same := func(_ http.ResponseWriter, forward http.HandlerFunc) http.HandlerFunc { return forward }
	silent := func(http.ResponseWriter, http.HandlerFunc) http.HandlerFunc {
		return func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // a server notices that its client left only then
			<-r.Context().Done()
		}
	}
	partly := func(after func(*http.Request)) func(http.ResponseWriter, http.HandlerFunc) http.HandlerFunc {
		return func(http.ResponseWriter, http.HandlerFunc) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", strconv.Itoa(len(data)))
				_, _ = w.Write(data[:1000])
				_ = http.NewResponseController(w).Flush()
				after(r)
				panic(http.ErrAbortHandler)
			}
		}
	}
	endless := func(http.ResponseWriter, http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { // no length given
			for r.Context().Err() == nil {
				if _, err := w.Write(data); err != nil {
					return
				}
			}
		}
	}
	changed := func(http.ResponseWriter, http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			sum := sha256.Sum256(data)
			w.Header().Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum[:]))
			_, _ = w.Write(append(bytes.Clone(data[1:]), 'x'))
		}
	}
	failing := func(http.ResponseWriter, http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }
	}
	cases := []struct {
		name     string
		endpoint string
		want     error
	}{
		{"through the proxy as it is", through(t, s.Endpoint, same), nil},
		{"nobody listens", nobody, fault.ErrUnavailable},
		{"silent server", through(t, s.Endpoint, silent), fault.ErrTimeout},
		{"silent in the middle", through(t, s.Endpoint, partly(func(r *http.Request) { <-r.Context().Done() })), fault.ErrTimeout},
		{"cut in the middle", through(t, s.Endpoint, partly(func(*http.Request) {})), fault.ErrUnavailable},
		{"endless", through(t, s.Endpoint, endless), fault.ErrTooLarge},
		{"bytes changed on the way", through(t, s.Endpoint, changed), fault.ErrUnavailable},
		{"fault of the server", through(t, s.Endpoint, failing), fault.ErrUnavailable},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			store := s3Store(t, c.endpoint, func(o *Options) {
				o.MaxBytes = 1 << 20
				o.S3.Timeout = time.Minute
				if c.want == fault.ErrTimeout {
					o.S3.Timeout = 300 * time.Millisecond
				}
			})
			got, err := store.Read(t.Context(), Reference{Location: "s3://scans/slice.png"})
			if c.want != nil {
				checkPrivate(t, err, c.want, "scans", "127.0.0.1")
			} else if err != nil || !bytes.Equal(got, data) {
				t.Errorf("read %d bytes, error %v", len(got), err)
			}
		})
	}
	t.Run("the caller gives up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		_, err := s3Store(t, cases[2].endpoint).Read(ctx, Reference{Location: "s3://scans/slice.png"})
		checkPrivate(t, err, fault.ErrCancelled, "scans")
	})
	t.Run("a write without an answer", func(t *testing.T) {
		store := s3Store(t, cases[2].endpoint, func(o *Options) { o.S3.Timeout = 300 * time.Millisecond })
		_, err := store.Write(t.Context(), "s3://scans/mask.png", []byte("mask"), WriteOptions{})
		checkPrivate(t, err, fault.ErrTimeout, "scans")
	})
}
