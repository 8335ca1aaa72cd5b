package dicomservice

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/brainseg/brainseg/internal/device/dicominbox"
	"github.com/brainseg/brainseg/internal/device/dicomnode"
	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/request"
)

// resultFolder is where results go, below the output folder.
const resultFolder = "dicom"

// process has the engine work on a series. The request's id names the work, so
// that after a new start the engine gives the answer that it has by then.
func (s *Service) process(ctx context.Context, w dicomnode.Work, deidentify bool) ([]string, error) {
	r := request.Request{
		ID: w.ID, Image: request.Image{Path: w.Folder},
		Output: request.Output{To: path.Join(resultFolder, w.ID), Overwrite: true},
		Scan: &request.Scan{
			Kinds:      []request.Kind{request.KindLabels, request.KindVolumes, request.KindReport, request.KindPicture, request.KindSEG},
			Deidentify: deidentify,
		},
	}
	for {
		result, err := s.submit(ctx, r)
		switch {
		case err != nil:
			return nil, err
		case result.Error == nil:
			return segmentations(result), nil
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
	s.engine.Submit(ctx, engine.Requester{Way: engine.WayDICOM}, r, func(o engine.Outcome) {
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

// segmentations are the DICOM objects among the results.
func segmentations(r request.Result) (paths []string) {
	for _, f := range r.Scan.Files {
		if f.Kind == request.KindSEG {
			paths = append(paths, f.File.Path)
		}
	}
	return paths
}
