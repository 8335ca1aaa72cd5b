package diskqueue

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/brainseg/brainseg/internal/dev/powercut"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/segmentation"
)

var (
	cutRequests = flag.Int("cut-requests", 12, "how many requests the power cut test records")
	cutStates   = flag.Int("cut-states", 80, "how many disks the power cut test builds")
)

// These make a program of the tests: the one whose power is cut.
const (
	cutFolder = "DISKQUEUE_CUT_FOLDER"
	cutLimit  = "DISKQUEUE_CUT_LIMIT"
)

// device is an engine over a queue on disk, with its folders below one.
type device struct {
	*engine.Engine
	queue *Queue
}

// shared is a model that outlives engines.
type shared struct{ engine.Model }

func (shared) Close() error { return nil }

// switchOn opens what is below a folder. A damaged queue is an error.
func switchOn(ctx context.Context, folder string, model engine.Model) (*device, error) {
	cfg := config.Default()
	cfg.Images.Roots, cfg.Output.Root, cfg.Queue.Folder, cfg.Service.Workers = nil, filepath.Join(folder, "masks"), filepath.Join(folder, "queue"), 2
	var damage error
	q, err := Open(ctx, Options{Config: cfg, Damaged: func(_ string, cause error) { damage = cause }})
	if err != nil {
		return nil, err
	}
	e, err := engine.Open(ctx, cfg, engine.Deps{Queue: q, OpenModel: func(context.Context, config.Config, *zap.Logger) (engine.Model, error) { return shared{model}, nil }})
	if err != nil {
		return nil, errors.Join(err, q.Close(ctx))
	}
	d := &device{e, q}
	if damage != nil {
		return nil, errors.Join(fmt.Errorf("the queue is damaged: %w", damage), d.switchOff(ctx))
	}
	return d, nil
}

func (d *device) switchOff(ctx context.Context) error {
	return errors.Join(d.Engine.Close(ctx), d.queue.Close(ctx))
}

func openValues() (*segmentation.Model, error) {
	return segmentation.Open(filepath.Join("..", "..", "segmentation", "testdata", "models", "values"), segmentation.Options{
		Library: filepath.Join("..", "..", "..", "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1"),
	})
}

// cutSlice is a slice with a mask of its own.
func cutSlice(i int) []byte {
	slice := image.NewGray(image.Rect(0, 0, 40, 30))
	for k := range slice.Pix {
		slice.Pix[k] = uint8((k*(i+1)/7)%3) * 32
	}
	var b bytes.Buffer
	_ = png.Encode(&b, slice) // to memory, which does not fail
	return b.Bytes()
}

func cutID(i int) string { return fmt.Sprintf("%s/%d", []string{"ipc", "http"}[i%4/3], i) }

// cutRequest is one in four over HTTP, and one in three with an overlay.
func cutRequest(i int) (job.Requester, request.Request) {
	way := job.Requester{Way: job.WayIPC}
	if i%4 == 3 {
		way.Way = job.WayHTTP
	}
	return way, request.Request{ID: cutID(i), Image: request.Image{Inline: cutSlice(i)}, Output: request.Output{Overlay: i%3 == 0}, Acknowledge: true}
}

// cutProgram has requests answered and delivered, and says what is confirmed.
func cutProgram(folder string, requests int) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	model, err := openValues()
	if err != nil {
		return err
	}
	d, err := switchOn(ctx, folder, model)
	if err != nil {
		return err
	}
	failed := make(chan error, requests+1)
	places := make(chan struct{}, 6) // requests that are on their way
	var delivering sync.WaitGroup
	delivering.Go(func() {
		for {
			list, err := d.queue.Deliveries(ctx, ToIPC)
			if err != nil {
				failed <- err
				return
			}
			for _, one := range list {
				say("answer", one.Document)
			}
			if err := d.queue.Delivered(ctx, ToIPC, list...); err != nil {
				failed <- err
				return
			}
			for _, one := range list {
				say("delivered", one.Document)
				<-places
			}
		}
	})
	for i := range requests + cap(places) { // at the end all places are free
		select {
		case places <- struct{}{}:
		case err := <-failed:
			return err
		}
		if i >= requests {
			continue
		}
		from, r := cutRequest(i)
		d.Submit(ctx, from, r, func(o job.Outcome) {
			switch {
			case o.Result.Status == request.StatusAccepted:
				fmt.Println("accepted", r.ID)
			case o.Document == nil:
				failed <- fmt.Errorf("%s is refused: %+v", r.ID, o.Result.Error)
			default:
				say("answer", o.Document)
				<-places
			}
		})
	}
	cancel()
	delivering.Wait()
	return d.switchOff(context.Background())
}

// say tells of an answer in one line: the attempt, the bytes but for that, its id.
func say(what string, document []byte) {
	r, err := request.ParseResult(document)
	if err != nil {
		fmt.Println("unreadable")
		return
	}
	fmt.Println(what, r.ID, r.Attempt, sumOf(request.WithAttempt(document, 1)))
}

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestNoAnswerOfTheComponentIsLostOrNamesATornMaskAfterAPowerCut(t *testing.T) {
	root := t.TempDir()
	trace, folder := powercut.RecordTest(t, root, cutFolder+"="+root, cutLimit+"="+fmt.Sprint(*cutRequests), "TMPDIR="+root)
	model, err := openValues()
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	states, masks := 0, 0
	var known confirmed
	err = trace.States(powercut.StateOptions{States: *cutStates, Folder: folder}, func(said []string) error {
		states++
		if err := known.hear(said); err != nil {
			return err
		}
		found, err := known.check(t.Context(), root, folder, model)
		masks += found
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if len(known.accepted) != *cutRequests || len(known.answers) != *cutRequests {
		t.Errorf("%d requests were accepted and %d answered, of %d", len(known.accepted), len(known.answers), *cutRequests)
	}
	t.Logf("%d operations of %d requests, %d states of the disk, in which answers named %d files", trace.Len(), *cutRequests, states, masks)
}

// confirmed is what the program had said by then.
type confirmed struct {
	heard     int
	accepted  map[string]bool
	answers   map[string]string // sums by id
	attempts  map[string]int
	delivered map[string]bool
}

func (c *confirmed) hear(said []string) error {
	if c.accepted == nil {
		c.accepted, c.delivered, c.answers, c.attempts = map[string]bool{}, map[string]bool{}, map[string]string{}, map[string]int{}
	}
	for _, line := range said[c.heard:] {
		var word, id, sum string
		var attempt int
		_, _ = fmt.Sscan(line, &word, &id, &attempt, &sum)
		switch word {
		case "accepted":
			c.accepted[id] = true
		case "answer":
			c.answers[id], c.attempts[id] = sum, max(c.attempts[id], attempt)
		case "delivered":
			c.delivered[id] = true
		default:
			return fmt.Errorf("the program said %q", line)
		}
	}
	c.heard = len(said)
	return nil
}

// check starts the component on a disk, holds it to what was confirmed, and has it
// answer the rest. It returns how many files the answers name. root is where the
// program had its folders.
func (c *confirmed) check(ctx context.Context, root, folder string, model engine.Model) (files int, err error) {
	if err := restoreTimes(filepath.Join(folder, "masks")); err != nil {
		return 0, err
	}
	d, err := switchOn(ctx, folder, model)
	if err != nil {
		return 0, fmt.Errorf("it does not start: %w", err)
	}
	defer func() { err = errors.Join(err, d.switchOff(ctx)) }()
	var open []string
	for i := range *cutRequests {
		n, err := c.checkAnswer(ctx, d, cutID(i), root, folder)
		if err != nil {
			return 0, err
		}
		if files += n; n == 0 && c.accepted[cutID(i)] {
			open = append(open, cutID(i))
		}
	}
	if err := c.deliver(ctx, d); err != nil {
		return 0, err
	}
	for _, id := range open { // and were worked on now
		n, err := c.checkAnswer(ctx, d, id, root, folder)
		if err != nil || n == 0 {
			return 0, fmt.Errorf("%s was accepted and has no answer: %w", id, err)
		}
	}
	return files, nil
}

// checkAnswer holds the answer to a request, where there is one, to what was said
// of it, and the files that it names to what it says of them.
func (c *confirmed) checkAnswer(ctx context.Context, d *device, id, root, folder string) (files int, err error) {
	stage, document, err := d.Lookup(ctx, id)
	sum, told := c.answers[id]
	switch {
	case err != nil:
		return 0, err
	case stage == job.StageUnknown && c.accepted[id]:
		return 0, fmt.Errorf("%s was accepted and is lost", id)
	case stage != job.StageAnswered && told:
		return 0, fmt.Errorf("%s was answered, and the answer is lost", id)
	case stage != job.StageAnswered:
		return 0, nil
	case told && sumOf(request.WithAttempt(document, 1)) != sum:
		return 0, fmt.Errorf("the answer to %s has other bytes", id)
	}
	r, err := request.ParseResult(document)
	if err != nil || r.Error != nil {
		return 0, fmt.Errorf("%s failed: %+v, %w", id, r.Error, err)
	}
	for _, file := range []*request.File{r.Mask, r.Overlay} {
		if file == nil {
			continue
		}
		path := file.Path
		if below, ok := strings.CutPrefix(path, root+"/"); ok {
			path = filepath.Join(folder, below)
		}
		content, err := os.ReadFile(path)
		if err != nil || sumOf(content) != file.SHA256 {
			return 0, fmt.Errorf("the answer to %s names a file that is torn or missing: %d bytes of %d, %w", id, len(content), file.Bytes, err)
		}
		files++
	}
	return files, nil
}

// deliver takes what is to be delivered until all is answered.
func (c *confirmed) deliver(ctx context.Context, d *device) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if len(d.queue.Stats().Ways) == 0 && d.queue.Undelivered(ToIPC) == 0 {
			return nil
		}
		short, stop := context.WithTimeout(ctx, 5*time.Millisecond) // those over HTTP are not delivered
		list, err := d.queue.Deliveries(short, ToIPC)
		stop()
		if ctx.Err() != nil {
			return errors.New("not all is answered")
		}
		if err != nil {
			continue
		}
		for _, one := range list {
			r, err := request.ParseResult(one.Document)
			if err != nil {
				return err
			}
			if c.delivered[r.ID] || r.Attempt <= c.attempts[r.ID] {
				return fmt.Errorf("%s is sent again as attempt %d", r.ID, r.Attempt)
			}
		}
		if err := d.queue.Delivered(ctx, ToIPC, list...); err != nil {
			return err
		}
	}
}

// restoreTimes gives outputs the time of their last change, which their mark tells:
// it is as durable as they are, and is not recorded.
func restoreTimes(folder string) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		path, mark := filepath.Join(folder, entry.Name()), make([]byte, 64)
		n, missing := unix.Getxattr(path, "user.brainseg.output", mark)
		if missing != nil {
			continue
		}
		text, _, _ := strings.Cut(string(mark[:n]), " ")
		changed, wrong := time.Parse(time.RFC3339Nano, text)
		err = errors.Join(err, wrong, os.Chtimes(path, changed, changed))
	}
	return err
}
