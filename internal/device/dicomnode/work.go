package dicomnode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/dicominbox"
	"github.com/brainseg/brainseg/internal/device/queue"
)

const (
	way         = "dicom"
	destination = "return"

	// processTries is how often work is tried that fails for other reasons than the
	// series.
	processTries = 3
	// returnTries is how often a node is asked that refuses a result.
	returnTries = 3
	longestWait = time.Minute
)

// How the work on a series ended.
const (
	outcomeDone       = "done"
	outcomeRefused    = "refused"    // by the readers, with a code
	outcomeFailed     = "failed"     // the same objects, sent again, are tried again
	outcomeSuperseded = "superseded" // late objects came
)

// answer is what the queue keeps of the work on a series.
type answer struct {
	dicominbox.Series
	Outcome string `json:"outcome"`
	Code    string `json:"code,omitempty"`
	// Files are to be returned.
	Files []string `json:"files,omitempty"`
}

// resume has series worked on again that the queue does not know any more, and
// those whose answer was delivered while they had other objects.
func (n *node) resume() error {
	n.taking.Lock()
	defer n.taking.Unlock()
	for _, s := range n.inbox.Unreleased() {
		state, _, err := n.queue.Lookup(s.ID())
		if err != nil {
			return fmt.Errorf("look for the work on a received series: %w", err)
		}
		delivered := state == queue.Answered && n.queue.Stats().Pending[destination] == 0
		if state == queue.Unknown || delivered {
			n.inbox.Reopen(s.Key)
		}
	}
	return nil
}

// takeUp resumes the work whenever a damaged queue was set aside.
func (n *node) takeUp(ctx context.Context) error {
	for {
		select {
		case <-n.damaged:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		err := n.untilStored(ctx, "taking up the work on received series", func() error {
			if n.queue.Stats().Faulty { // it has not looked yet what the new file lacks
				return queue.ErrBusy
			}
			return n.resume()
		})
		if err != nil {
			return err
		}
	}
}

// takeIn puts complete series into the queue.
func (n *node) takeIn(ctx context.Context) error {
	for {
		s, err := n.inbox.Complete(ctx)
		if err != nil {
			return err
		}
		document, err := json.Marshal(s)
		if err != nil {
			return err
		}
		err = n.untilStored(ctx, "putting a series into the queue", func() error {
			n.taking.Lock()
			defer n.taking.Unlock()
			receipt, err := n.queue.Accept(ctx, queue.Request{ID: s.ID(), Way: way, Document: document})
			switch {
			case err != nil:
				return err
			case receipt.Answer != nil:
				return n.answered(s, receipt.Answer)
			}
			return n.inbox.Accepted(s)
		})
		if err != nil {
			return err
		}
		n.log.Info("series complete", seriesField(s), zap.Int("objects", s.Objects))
	}
}

// answered notes what has become of a series that the queue has an answer of: it
// had other objects since, and has those again, or the process died before it
// noted that the queue has it.
func (n *node) answered(s dicominbox.Series, document []byte) error {
	var a answer
	if err := json.Unmarshal(document, &a); err != nil {
		return fmt.Errorf("read the answer of a series: %w", err)
	}
	if a.Outcome == outcomeSuperseded {
		return n.inbox.Superseded(s)
	}
	// Nobody says whether the node has the result: it is not to be removed.
	return n.inbox.Released(s, a.Outcome == outcomeFailed || n.opts.Return != nil)
}

// untilStored calls store until it succeeds: whatever it meets, a full queue or
// disk, may pass.
func (n *node) untilStored(ctx context.Context, what string, store func() error) error {
	wait := n.waits()
	for {
		err := store()
		if err == nil || errors.Is(err, queue.ErrClosed) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !errors.Is(err, queue.ErrBusy) {
			n.log.Error(what+" failed; it is tried again", zap.Error(err))
		}
		if err := pause(ctx, wait.NextBackOff()); err != nil {
			return err
		}
	}
}

// waits are those between tries, ever longer.
func (n *node) waits() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = n.opts.retry, longestWait
	return b
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func seriesField(s dicominbox.Series) zap.Field { return zap.String("series", nameOf(s.Key)) }

// work works on series, one after the other.
func (n *node) work(ctx context.Context) error {
	for {
		w, err := n.queue.Next(ctx)
		if err != nil {
			return err
		}
		result, err := n.workOn(ctx, w)
		if err != nil {
			return errors.Join(err, n.queue.Return(w.ID))
		}
		raw, err := json.Marshal(result)
		if err != nil {
			return err
		}
		err = n.untilStored(ctx, "storing the answer of a series", func() error {
			err := n.queue.Finish(ctx, w.ID, raw, destination)
			if errors.Is(err, queue.ErrAnswered) { // by the try before
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
	}
}

// workOn works on one series. An error ends the node, or is its end.
func (n *node) workOn(ctx context.Context, w *queue.Work) (*answer, error) {
	a := &answer{Outcome: outcomeFailed}
	if err := json.Unmarshal(w.Document, &a.Series); err != nil {
		n.log.Error("the work on a series cannot be read", zap.Error(err))
		return a, nil
	}
	if w.Poisoned {
		n.log.Error("the process died each time that it worked on a series, which is given up", seriesField(a.Series), zap.Int("times", w.Crashes))
		a.Code = "crashed"
		return a, nil
	}
	folder, until, release, ok := n.inbox.Hold(ctx, a.Series)
	if !ok {
		a.Outcome = outcomeSuperseded
		return a, nil
	}
	defer release()
	if err := n.queue.Started(w.ID); err != nil {
		return nil, err
	}
	start := time.Now()
	files, err := n.process(until, folder, a.Series)
	var refusal *RefusedError
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case until.Err() != nil:
		n.log.Info("late objects came while the series was in work; it waits to be complete again", seriesField(a.Series))
		a.Outcome = outcomeSuperseded
	case errors.As(err, &refusal):
		n.log.Warn("series refused", seriesField(a.Series), zap.String("code", refusal.Code), zap.String("reason", refusal.Reason))
		a.Outcome, a.Code = outcomeRefused, refusal.Code
	case err != nil:
		n.log.Error("series failed; its objects, sent again, are tried again", seriesField(a.Series), zap.Error(err))
	default:
		n.log.Info("series done", seriesField(a.Series), zap.Int("objects", a.Objects), zap.Duration("took", time.Since(start)))
		a.Outcome, a.Files = outcomeDone, files
	}
	return a, nil
}

// process calls Process, a few times where it fails for no reason in the series.
func (n *node) process(ctx context.Context, folder string, s dicominbox.Series) ([]string, error) {
	wait := n.waits()
	for try := 1; ; try++ {
		files, err := n.opts.Process(ctx, Work{Folder: folder, Name: nameOf(s.Key), ID: fmt.Sprintf("%s-%.16s-%d-%d", nameOf(s.Key), s.Set, s.Attempt, try)})
		var refusal *RefusedError
		if err == nil || ctx.Err() != nil || errors.As(err, &refusal) || try == processTries {
			return files, err
		}
		n.log.Warn("working on a series failed; it is tried again", zap.Error(err))
		if err := pause(ctx, wait.NextBackOff()); err != nil {
			return nil, err
		}
	}
}

// deliver returns results, and notes that series are done with.
func (n *node) deliver(ctx context.Context) error {
	for {
		list, err := n.queue.Deliveries(ctx, destination, 1)
		if err != nil {
			return err
		}
		for _, d := range list {
			var a answer
			if err := json.Unmarshal(d.Answer, &a); err != nil {
				n.log.Error("an answer of the queue cannot be read, and is left", zap.Error(err))
			}
			returned, err := n.returnResults(ctx, a)
			if err != nil {
				return err
			}
			err = n.untilStored(ctx, "noting that results were returned", func() error {
				note := func() error { return n.inbox.Released(a.Series, a.Outcome == outcomeFailed || !returned) }
				if a.Outcome == outcomeSuperseded {
					note = func() error { return n.inbox.Superseded(a.Series) }
				}
				if err := note(); err != nil {
					return err
				}
				return n.queue.Delivered(ctx, destination, d.Number)
			})
			if err != nil {
				return err
			}
		}
	}
}

// returnResults returns the files of an answer. Where the node says that it does
// not take one it gives up, and returned is false; where the node does not answer
// it never does.
func (n *node) returnResults(ctx context.Context, a answer) (returned bool, err error) {
	if n.opts.Return == nil {
		return true, nil
	}
	returned = true
	for _, file := range a.Files {
		wait, refused := n.waits(), 0
		for {
			err := n.opts.Return.Return(ctx, file)
			if err == nil {
				n.log.Info("result returned", seriesField(a.Series))
				break
			}
			if ctx.Err() != nil {
				return false, context.Cause(ctx)
			}
			if errors.Is(err, ErrRefused) {
				refused++
			}
			if refused == returnTries {
				n.log.Error("the result is not returned, and stays in the folder for results; images sent again are tried again", seriesField(a.Series), zap.Error(err))
				returned = false
				break
			}
			n.log.Warn("returning a result failed; it is tried again", seriesField(a.Series), zap.Error(err))
			if err := pause(ctx, wait.NextBackOff()); err != nil {
				return false, err
			}
		}
	}
	return returned, nil
}
