package dicomservice

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/dicominbox"
	"github.com/brainseg/brainseg/internal/device/dicomnode"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/request"
)

// resultFolder is where results go, below the output folder.
const resultFolder = "dicom"

// returned are the kinds of results that go back.
func returned(c config.DICOM) []request.Kind {
	kinds := []request.Kind{request.KindSEG}
	if c.Overlay {
		kinds = append(kinds, request.KindOverlay)
	}
	if c.SR {
		kinds = append(kinds, request.KindSR)
	}
	return kinds
}

// process has the engine work on a series. The request's id names the work, so
// that after a new start the engine gives the answer that it has by then.
func (s *Service) process(ctx context.Context, w dicomnode.Work, c config.DICOM) ([]string, error) {
	r := request.Request{
		ID: w.ID, Image: request.Image{Path: w.Folder},
		Output: request.Output{To: path.Join(resultFolder, w.ID), Overwrite: true},
		Scan: &request.Scan{
			Kinds:      append(returned(c), request.KindLabels, request.KindVolumes, request.KindReport, request.KindPicture),
			Deidentify: c.Deidentify,
		},
	}
	for {
		result, err := s.submit(ctx, r)
		switch {
		case err != nil:
			return nil, err
		case result.Error == nil:
			return objects(result, returned(c)), nil
		}
		switch failure := result.Error; failure.Code {
		case request.CodeBusy: // the series waits here as well as there
			timer := time.NewTimer(again)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return nil, context.Cause(ctx)
			}
		case request.CodeImageUnreadable, request.CodeImageTooLarge, request.CodeInvalidRequest, request.CodePoisoned:
			code := failure.Reason
			if code == "" {
				code = string(failure.Code)
			}
			return nil, &dicomnode.RefusedError{Code: code, Reason: failure.Message}
		default:
			return nil, fmt.Errorf("%s: %s", failure.Code, failure.Message)
		}
	}
}

// submit waits for the answer to a request.
func (s *Service) submit(ctx context.Context, r request.Request) (request.Result, error) {
	came := make(chan request.Result, 1)
	s.engine.Submit(ctx, job.Requester{Way: job.WayDICOM}, r, func(o job.Outcome) {
		o.Claim.Release() // no other request names its files so
		came <- o.Result
	})
	select {
	case result := <-came:
		return result, nil
	case <-ctx.Done():
	}
	if errors.Is(context.Cause(ctx), dicominbox.ErrReopened) {
		// Nobody asks for this answer any more. At the end of the process somebody
		// will, after the next start.
		s.engine.Cancel(context.WithoutCancel(ctx), r.ID)
	}
	return request.Result{}, context.Cause(ctx)
}

// objects are the files of some kinds among the results.
func objects(r request.Result, kinds []request.Kind) (paths []string) {
	for _, f := range r.Scan.Files {
		if slices.Contains(kinds, f.Kind) {
			paths = append(paths, f.File.Path)
		}
	}
	return paths
}
