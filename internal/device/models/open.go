package models

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/memory"
	"github.com/brainseg/brainseg/internal/device/selftest"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// Open opens the model that cfg names and has it pass its self-test. The error is
// one of segmentation.Open, or wraps selftest.ErrFailed.
func Open(ctx context.Context, cfg config.Config, logger *zap.Logger) (Model, error) {
	m, err := segmentation.Open(cfg.Model.Path, segmentation.Options{
		Library: cfg.Model.Library, Threads: cfg.Service.Threads, MaxPixels: cfg.Images.MaxPixels, Memory: memory.Available,
	})
	if err != nil {
		return nil, fmt.Errorf("open the model: %w", err)
	}
	if err := selftest.Run(ctx, m, cfg.Model.Path, logger); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// Summary says in one sentence, without paths, why a model is not used.
func Summary(err error) string {
	var failed *trialError
	if errors.As(err, &failed) {
		return failed.Error()
	}
	for _, sentinel := range []error{model.ErrManifest, model.ErrChecksum, segmentation.ErrRuntime, model.ErrNetwork, selftest.ErrFailed, ErrNoRoom} {
		if errors.Is(err, sentinel) {
			return sentinel.Error()
		}
	}
	return "the model cannot be used"
}
