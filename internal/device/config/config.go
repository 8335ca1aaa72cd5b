// Package config reads the component's configuration, as a deployment sets it,
// into a checked, immutable value.
//
// Configuration arrives as one JSON object. Scalars are read leniently, for
// nucleus lite hands out every number and boolean as a string and the classic
// nucleus every number as a float; what is then out of range is an error that
// names the key, the value and what is allowed. Unknown keys are reported, not
// refused: Greengrass merges old configurations into new ones.
//
// The package reads no files and speaks with no nucleus; package greengrass
// fetches the document. What auto means on this machine package memory says.
package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/brainseg/brainseg/internal/device/memory"
)

// Config is the whole configuration. It is not changed after Parse.
type Config struct {
	Topics  Topics
	Model   Model
	Images  Images
	Output  Output
	S3      S3
	Service Service
	Queue   Queue
	HTTP    HTTP
	DICOM   DICOM
	IPC     IPC
	IoTCore IoTCore
	Health  Health
	Log     Log
}

// The topics where the configuration names no others.
const (
	RequestTopic = "inference/brain_segmentation/request"
	ResultTopic  = "inference/brain_segmentation/result"
	StatusTopic  = "inference/brain_segmentation"
)

// Topics are the names of the topics.
type Topics struct {
	Request string // key topics.request; local publish/subscribe
	Result  string // key topics.result; local publish/subscribe
	Status  string // key topics.status; local publish/subscribe and AWS IoT Core
}

// Model says where the model is.
type Model struct {
	// Path, key model.path, is the folder with model.onnx and manifest.json.
	Path string
	// Library, key model.library, is libonnxruntime; "" searches beside the
	// executable.
	Library string
	// Canary, key model.canary, is how many slices a new model segments beside the one
	// in use before it takes over; 0 for none.
	Canary int
}

// Images says which images may be read.
type Images struct {
	Roots     []string // key images.roots; folders below which images may be read
	MaxBytes  int64    // key images.maxBytes; of one encoded image
	MaxPixels int64    // key images.maxPixels; width times height
	// TotalBytes, key images.totalBytes, is of all encoded images in memory; never
	// below MaxBytes.
	TotalBytes int64
}

// Output says where results go.
type Output struct {
	Root        string        // key output.root; folder for masks and overlays
	RetainAge   time.Duration // key output.retainDays; 0 keeps them for ever
	RetainBytes int64         // key output.retainBytes; of all together, 0 is no limit
}

// S3 configures access to S3. It is off while Buckets is empty.
type S3 struct {
	Buckets   []string      // key s3.buckets; "*" allows any
	Region    string        // key s3.region; "" takes the device's
	Endpoint  string        // key s3.endpoint; "" takes AWS' own
	PathStyle bool          // key s3.pathStyle
	Timeout   time.Duration // key s3.timeoutSeconds
	// Encryption, key s3.encryption, is how S3 encrypts what is written; "" as the
	// bucket says.
	Encryption string
	// SpoolBytes, key s3.spoolBytes, is of results that wait on disk while S3 is away;
	// 0 for none.
	SpoolBytes int64
}

// Service bounds the work in progress.
type Service struct {
	Workers int // key service.workers; slices segmented at the same time; auto is resolved
	Threads int // key service.threads; of one segmentation
	Queue   int // key service.queue; requests that wait
	// Inference, key service.inferenceSeconds, is how long the model may take for one
	// slice; 0 is automatic, see watchdog.SetLimit.
	Inference time.Duration
}

// Queue says where requests and answers are kept, and how much of them.
type Queue struct {
	// Folder, key queue.folder, holds them; "" keeps them in memory, where they end
	// with the process.
	Folder string
	// Bytes, key queue.bytes, is of the requests of one way in that have no answer,
	// with the images in them.
	Bytes int64
	// AnswerBytes, key queue.answerBytes, is of all answers that are kept.
	AnswerBytes int64
	// Retain, key queue.retainHours, is how long an answer is kept.
	Retain time.Duration
}

// HTTP configures the service over HTTP. It is off while Address is empty. Beyond
// loopback it needs a token, or authorities that vouch for clients.
type HTTP struct {
	Address string   // key http.address; host:port
	Hosts   []string // key http.hosts; names by which clients may call this host, besides its own
	// Token, key http.token, must be sent by every client; "" for none. The
	// alternative, key http.tokenFile, is a file with the token.
	Token     string
	TokenFile string
	// Certificate and Key, keys http.certificate and http.key, are PEM files; TLS
	// is off without them.
	Certificate string
	Key         string
	// Authorities, key http.clientAuthorities, is a PEM file with the certificates
	// of those who sign clients' certificates; "" asks clients for none.
	Authorities string
	Connections int   // key http.connections; at the same time
	Requests    int   // key http.requestsPerSecond; of one client, 0 is no limit
	Bytes       int64 // key http.bytesPerSecond; of bodies of one client, 0 is no limit
}

// Guarded reports whether clients have to show who they are.
func (h HTTP) Guarded() bool { return h.Token != "" || h.TokenFile != "" || h.Authorities != "" }

// DICOM configures the DICOM node, see dicomnode.Settings, which checks them. It
// is off while Listen is empty.
type DICOM struct {
	Listen       string        // key dicom.listen; beyond loopback with TLS or Plaintext only
	Title        string        // key dicom.title
	Folder       string        // key dicom.folder; for received series
	Callers      []string      // key dicom.callers; titles that may call, none: any
	From         []string      // key dicom.from; networks that may call, none: any
	Associations int           // key dicom.associations; at the same time
	Quiet        time.Duration // key dicom.quietSeconds; until a series is complete
	Keep         time.Duration // key dicom.keepHours; of series that are done
	Bytes        int64         // key dicom.bytes; of received series
	Return       string        // key dicom.return; TITLE@HOST:PORT, "" for none
	ReturnTLS    bool          // key dicom.returnTls
	STOW         string        // key dicom.stow; a URL, "" for none
	// Authorization, key dicom.stowAuthorization, is a file with the header's value.
	Authorization string
	Certificate   string // key dicom.certificate; a file
	Key           string // key dicom.key; a file
	Authorities   string // key dicom.authorities; a file
	Plaintext     bool   // key dicom.plaintext
	Overlay       bool   // key dicom.overlay; a Secondary Capture is returned too
	SR            bool   // key dicom.sr; a Structured Report is returned too
	Deidentify    bool   // key dicom.deidentify
}

// IPC configures the connection to the nucleus.
type IPC struct {
	MaxFrame int           // key ipc.maxFrameBytes
	Beat     time.Duration // key ipc.beatSeconds; 0 for never; nucleus lite only
}

// IoTCore says what goes to AWS IoT Core beside status messages.
type IoTCore struct {
	// Results, key iotcore.results, is whether answers do, on the topic Topics.Result;
	// it needs Queue.Folder.
	Results bool
}

// Health says how often the component tells how it fares.
type Health struct {
	Interval   time.Duration // key health.seconds; on the status topic; 0 for never
	CloudWatch time.Duration // key health.cloudwatchSeconds; to AWS' CloudWatch component; 0 for never
}

// Log configures the log.
type Log struct {
	Level zapcore.Level // key log.level
}

// encryptions are those that s3.encryption may name.
var encryptions = regexp.MustCompile(`^(AES256|aws:kms|arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]+:(key|alias)/[A-Za-z0-9/_-]+)?$`)

// ErrInvalid is wrapped by every error of Parse.
var ErrInvalid = errors.New("configuration is invalid")

// Parse reads a configuration document. unknown names the keys that mean
// nothing to this version. The error lists everything that is wrong.
func Parse(document []byte) (c Config, unknown []string, err error) {
	root := make(map[string]any)
	if err := json.Unmarshal(document, &root); err != nil {
		return Config{}, nil, fmt.Errorf("%w: it is not a JSON object", ErrInvalid)
	}
	r := &reader{values: make(map[string]any)}
	delete(root, "accessControl") // the nucleus', not ours
	r.flatten("", root)

	c = Config{
		Topics: Topics{
			Request: r.topic("topics.request", RequestTopic),
			Result:  r.topic("topics.result", ResultTopic),
			Status:  r.topic("topics.status", StatusTopic),
		},
		Model: Model{
			Path:    r.text("model.path", "../io.brainseg.BrainSegmentation.Model/current"),
			Library: r.text("model.library", ""),
			Canary:  int(r.integer("model.canary", 0, 0, 100_000)),
		},
		Images: Images{
			Roots:     r.texts("images.roots", []string{"images"}),
			MaxBytes:  r.integer("images.maxBytes", 16<<20, 1<<10, 1<<30),
			MaxPixels: r.integer("images.maxPixels", 2048*2048, 1, 1<<26),

			TotalBytes: r.integer("images.totalBytes", 64<<20, 1<<10, 1<<32),
		},
		Output: Output{
			Root:        r.text("output.root", "masks"),
			RetainAge:   time.Duration(r.integer("output.retainDays", 0, 0, 36_500)) * 24 * time.Hour,
			RetainBytes: r.integer("output.retainBytes", 0, 0, 1<<50),
		},
		S3: S3{
			Buckets:   r.texts("s3.buckets", nil),
			Region:    r.text("s3.region", ""),
			Endpoint:  r.text("s3.endpoint", ""),
			PathStyle: r.boolean("s3.pathStyle", false),
			Timeout:   time.Duration(r.integer("s3.timeoutSeconds", 30, 1, 600)) * time.Second,

			Encryption: r.text("s3.encryption", ""),
			SpoolBytes: r.integer("s3.spoolBytes", 0, 0, 1<<40),
		},
		Service: Service{
			Workers: r.workers("service.workers", memory.Workers()),
			Threads: int(r.integer("service.threads", 1, 1, 64)),
			Queue:   int(r.integer("service.queue", 64, 1, 10_000)),

			Inference: time.Duration(r.integer("service.inferenceSeconds", 0, 0, 3600)) * time.Second,
		},
		Queue: Queue{
			Folder:      r.text("queue.folder", "queue"),
			Bytes:       r.integer("queue.bytes", 64<<20, 1<<20, 1<<40),
			AnswerBytes: r.integer("queue.answerBytes", 128<<20, 1<<20, 1<<40),
			Retain:      time.Duration(r.integer("queue.retainHours", 24, 1, 8760)) * time.Hour,
		},
		HTTP: HTTP{
			Address:     r.text("http.address", ""),
			Hosts:       r.texts("http.hosts", nil),
			Token:       r.secret("http.token", ""),
			TokenFile:   r.text("http.tokenFile", ""),
			Certificate: r.text("http.certificate", ""),
			Key:         r.text("http.key", ""),
			Authorities: r.text("http.clientAuthorities", ""),
			Connections: int(r.integer("http.connections", 256, 8, 4096)),
			Requests:    int(r.integer("http.requestsPerSecond", 1000, 0, 1_000_000)),
			Bytes:       r.integer("http.bytesPerSecond", 64<<20, 0, 1<<40),
		},
		DICOM: DICOM{
			Listen:       r.text("dicom.listen", ""),
			Title:        r.text("dicom.title", "BRAINSEG"),
			Folder:       r.text("dicom.folder", "dicom"),
			Callers:      r.texts("dicom.callers", nil),
			From:         r.texts("dicom.from", nil),
			Associations: int(r.integer("dicom.associations", 8, 1, 100)),
			Quiet:        time.Duration(r.integer("dicom.quietSeconds", 30, 1, 3600)) * time.Second,
			Keep:         time.Duration(r.integer("dicom.keepHours", 24, 1, 8760)) * time.Hour,
			Bytes:        r.integer("dicom.bytes", 8<<30, 1<<20, 1<<40),
			Return:       r.text("dicom.return", ""),
			ReturnTLS:    r.boolean("dicom.returnTls", false),
			STOW:         r.text("dicom.stow", ""),

			Authorization: r.text("dicom.stowAuthorization", ""),
			Certificate:   r.text("dicom.certificate", ""),
			Key:           r.text("dicom.key", ""),
			Authorities:   r.text("dicom.authorities", ""),
			Plaintext:     r.boolean("dicom.plaintext", false),
			Overlay:       r.boolean("dicom.overlay", false),
			SR:            r.boolean("dicom.sr", false),
			Deidentify:    r.boolean("dicom.deidentify", false),
		},
		IPC: IPC{
			MaxFrame: int(r.integer("ipc.maxFrameBytes", 10_000, 2_000, 24<<20)),
			Beat:     time.Duration(r.integer("ipc.beatSeconds", 2, 0, 3600)) * time.Second,
		},
		IoTCore: IoTCore{Results: r.boolean("iotcore.results", false)},
		Health: Health{
			Interval:   time.Duration(r.integer("health.seconds", 900, 0, 86_400)) * time.Second,
			CloudWatch: time.Duration(r.integer("health.cloudwatchSeconds", 0, 0, 86_400)) * time.Second,
		},
		Log: Log{Level: r.level("log.level", zapcore.InfoLevel)},
	}
	c.Images.TotalBytes = max(c.Images.TotalBytes, c.Images.MaxBytes)
	c.HTTP.check(r)
	if e := c.S3.Endpoint; e != "" && !strings.HasPrefix(e, "http://") && !strings.HasPrefix(e, "https://") {
		r.fail("s3.endpoint", e, "it must begin with https:// or http://")
	}
	if e := c.S3.Encryption; !encryptions.MatchString(e) {
		r.fail("s3.encryption", e, "it must be AES256, aws:kms or the ARN of a key in KMS")
	}
	if c.IoTCore.Results && c.Queue.Folder == "" {
		r.fail("iotcore.results", true, "it needs queue.folder, where answers wait for the network")
	}
	if c.S3.SpoolBytes > 0 && c.Queue.Folder == "" {
		r.fail("s3.spoolBytes", c.S3.SpoolBytes, "it needs queue.folder, where results wait for S3")
	}
	t := c.Topics
	if t.Request == t.Result || t.Request == t.Status || t.Result == t.Status {
		r.fail("topics", t.Request, "the three topics must differ")
	}
	r.misplaced()
	if len(r.errs) > 0 {
		return Config{}, nil, fmt.Errorf("%w: %w", ErrInvalid, errors.Join(r.errs...))
	}
	return c, r.unknown(), nil
}

// Default is the configuration of a deployment that sets nothing.
func Default() Config {
	c, _, err := Parse([]byte("{}"))
	if err != nil {
		panic(err) // the defaults are constants
	}
	return c
}
