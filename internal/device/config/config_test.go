package config

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap/zapcore"

	"github.com/brainseg/brainseg/internal/device/memory"
)

func defaults() Config {
	return Config{
		Topics:  Topics{Request: "inference/brain_segmentation/request", Result: "inference/brain_segmentation/result", Status: "inference/brain_segmentation"},
		Model:   Model{Path: "../io.brainseg.BrainSegmentation.Model/current"},
		Images:  Images{Roots: []string{"images"}, MaxBytes: 16 << 20, MaxPixels: 2048 * 2048, TotalBytes: 64 << 20},
		Output:  Output{Root: "masks"},
		S3:      S3{Timeout: 30 * time.Second},
		Service: Service{Workers: memory.Workers(), Threads: 1, Queue: 64},
		Queue:   Queue{Folder: "queue", Bytes: 64 << 20, AnswerBytes: 128 << 20, Retain: 24 * time.Hour},
		HTTP:    HTTP{Connections: 256, Requests: 1000, Bytes: 64 << 20},
		DICOM:   DICOM{Title: "BRAINSEG", Folder: "dicom", Associations: 8, Quiet: 30 * time.Second, Keep: 24 * time.Hour, Bytes: 8 << 30},
		IPC:     IPC{MaxFrame: 10_000, Beat: 2 * time.Second},
		Health:  Health{Interval: 15 * time.Minute},
		Log:     Log{Level: zapcore.InfoLevel},
	}
}

func TestParseTakesDefaultsAndWhatEitherNucleusMakesOfScalars(t *testing.T) {
	tests := []struct {
		name     string
		document string
		change   func(*Config)
		unknown  []string
	}{
		{"empty", `{}`, func(*Config) {}, nil},
		{"access control and null are not ours", `{"accessControl":{"a":{}},"topics":null,"model":{"path":null}}`, func(*Config) {}, nil},
		{"as many workers as suit the machine", `{"service":{"workers":" Auto"}}`, func(*Config) {}, nil},
		{"numbers", `{"service":{"workers":2,"queue":5}}`, func(c *Config) { c.Service.Workers, c.Service.Queue = 2, 5 }, nil},
		{"floats of the classic nucleus", `{"service":{"workers":2.0},"images":{"maxBytes":1.048576e6}}`, func(c *Config) { c.Service.Workers, c.Images.MaxBytes = 2, 1<<20 }, nil},
		{"strings of nucleus lite", `{"service":{"workers":"2"},"images":{"maxPixels":"1000.0"},"s3":{"pathStyle":"True","buckets":["a","b"],"timeoutSeconds":"5"},"log":{"level":"DEBUG"}}`, func(c *Config) {
			c.Service.Workers, c.Images.MaxPixels, c.S3.PathStyle, c.S3.Buckets, c.S3.Timeout, c.Log.Level = 2, 1000, true, []string{"a", "b"}, 5*time.Second, zapcore.DebugLevel
		}, nil},
		{"room for one image at least", `{"images":{"totalBytes":"2048"}}`, func(c *Config) { c.Images.TotalBytes = 16 << 20 }, nil},
		{"a list of one as a string", `{"images":{"roots":"/data"}}`, func(c *Config) { c.Images.Roots = []string{"/data"} }, nil},
		{"retention", `{"output":{"retainDays":30,"retainBytes":"1e9"}}`, func(c *Config) { c.Output.RetainAge, c.Output.RetainBytes = 30*24*time.Hour, 1_000_000_000 }, nil},
		{"the queue", `{"queue":{"folder":"","retainHours":"48","bytes":2e6,"answerBytes":3000000}}`, func(c *Config) { c.Queue = Queue{Bytes: 2_000_000, AnswerBytes: 3_000_000, Retain: 48 * time.Hour} }, nil},
		{"a DICOM node", `{"dicom":{"listen":"0.0.0.0:104","title":"A","folder":"b","callers":"C","from":["10.0.0.0/8"],"associations":"2","quietSeconds":5,"keepHours":1.0,"bytes":2e6,"return":"P@h:1","returnTls":"true","stow":"d","stowAuthorization":"e","certificate":"f","key":"g","authorities":"h","plaintext":"True","overlay":"true","sr":true,"deidentify":true}}`, func(c *Config) {
			c.DICOM = DICOM{
				Listen: "0.0.0.0:104", Title: "A", Folder: "b", Callers: []string{"C"}, From: []string{"10.0.0.0/8"}, Associations: 2, Quiet: 5 * time.Second, Keep: time.Hour, Bytes: 2_000_000,
				Return: "P@h:1", ReturnTLS: true, STOW: "d", Authorization: "e", Certificate: "f", Key: "g", Authorities: "h", Plaintext: true, Overlay: true, SR: true, Deidentify: true,
			}
		}, nil},
		{"unknown keys", `{"zoo":1,"model":{"colour":"red","path":"m"}}`, func(c *Config) { c.Model.Path = "m" }, []string{"model.colour", "zoo"}},
		{"HTTP beyond loopback with a token", `{"http":{"address":":5000","token":"0123456789abcdef"}}`, func(c *Config) { c.HTTP.Address, c.HTTP.Token = ":5000", "0123456789abcdef" }, nil},
		{"HTTP beyond loopback with clients' certificates", `{"http":{"address":"0.0.0.0:1","certificate":"c","key":"k","clientAuthorities":"a"}}`, func(c *Config) {
			c.HTTP.Address, c.HTTP.Certificate, c.HTTP.Key, c.HTTP.Authorities = "0.0.0.0:1", "c", "k", "a"
		}, nil},
		{"endpoint on loopback", `{"http":{"address":"[::1]:5000"}}`, func(c *Config) { c.HTTP.Address = "[::1]:5000" }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := defaults()
			tt.change(&want)
			got, unknown, err := Parse([]byte(tt.document))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("configuration (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.unknown, unknown); diff != "" {
				t.Errorf("unknown keys (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseNamesTheKeyTheValueAndWhatIsAllowed(t *testing.T) {
	tests := []struct{ name, document, want string }{
		{"no object", `[]`, "it is not a JSON object"},
		{"fraction", `{"service":{"workers":1.5}}`, "service.workers is 1.5: it must be a whole number from 1 to 64"},
		{"word for a number", `{"service":{"queue":"many"}}`, `service.queue is "many": it must be a whole number from 1 to 10000`},
		{"not a number", `{"service":{"queue":"NaN"}}`, `service.queue is "NaN": it must be`},
		{"out of range", `{"ipc":{"maxFrameBytes":-1}}`, "ipc.maxFrameBytes is -1: it must be a whole number"},
		{"word for a boolean", `{"s3":{"pathStyle":"yes"}}`, `s3.pathStyle is "yes": it must be true or false`},
		{"number for a string", `{"model":{"path":3}}`, "model.path is 3: it must be a string"},
		{"wildcard in a topic", `{"topics":{"request":"a/#"}}`, `topics.request is "a/#": it must be a topic`},
		{"one topic twice", `{"topics":{"request":"a","result":"a"}}`, "the three topics must differ"},
		{"list of numbers", `{"images":{"roots":[1]}}`, "images.roots is [1]: it must be a list of strings"},
		{"retention below nothing", `{"output":{"retainDays":-1}}`, "output.retainDays is -1: it must be a whole number from 0 to 36500"},
		{"level", `{"log":{"level":"loud"}}`, `log.level is "loud": it must be debug, info, warn or error`},
		{"address that others reach", `{"http":{"address":"0.0.0.0:5000"}}`, `http.address is "0.0.0.0:5000": without http.token, http.tokenFile or http.clientAuthorities only loopback addresses are allowed`},
		{"address of all interfaces", `{"http":{"address":":5000"}}`, `only loopback addresses`},
		{"a guard that lets everybody in", `{"http":{"address":":5000","certificate":"c","key":"k"}}`, `only loopback addresses`},
		{"authorities without TLS", `{"http":{"clientAuthorities":"a"}}`, `http.certificate and http.key are needed too`},
		{"a certificate without key", `{"http":{"certificate":"a"}}`, `go together`},
		{"two tokens", `{"http":{"token":"0123456789abcdef","tokenFile":"t"}}`, `one of them is enough`},
		{"address without port", `{"http":{"address":"127.0.0.1"}}`, `it must be host:port`},
		{"answers that cannot wait", `{"queue":{"folder":""},"iotcore":{"results":true}}`, "iotcore.results is true: it needs queue.folder"},
		{"no encryption", `{"s3":{"encryption":"rot13"}}`, `s3.encryption is "rot13": it must be AES256, aws:kms or the ARN of a key in KMS`},
		{"results that cannot wait", `{"queue":{"folder":""},"s3":{"spoolBytes":1000}}`, "s3.spoolBytes is 1000: it needs queue.folder"},
		{"endpoint", `{"s3":{"endpoint":"minio:9000"}}`, `s3.endpoint is "minio:9000"`},
		{"long value is cut", `{"model":{"path":[` + strings.Repeat(`"x",`, 100) + `"x"]}}`, `...: it must be a string`},
		{"two errors at once", `{"service":{"workers":0,"threads":0}}`, "service.threads is 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Parse([]byte(tt.document))
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestNoErrorShowsTheToken(t *testing.T) {
	for _, document := range []string{
		`{"http":{"token":"geheim"}}`, `{"http":{"token":["geheim"]}}`, `{"http":{"token":{"value":"geheim"}}}`, `{"http":{"token":"geheim geheim geheim"}}`,
	} {
		_, _, err := Parse([]byte(document))
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "http.token is refused: ") || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", document, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"service":{"workers":"2"},"images":{"roots":["a"]}}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		c, _, err := Parse(document)
		if err == nil && (c.Service.Workers < 1 || c.Service.Queue < 1 || c.Topics.Request == "" || c.IPC.MaxFrame < 2000) {
			t.Errorf("accepted %+v", c)
		}
	})
}
