package scanjob

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

func TestSlicesOfScansWaitForRequestsAndThenGoAtOnce(t *testing.T) {
	var p Precedence
	p.last = time.Hour // a pause that no test waits for
	p.Begin()
	p.Begin()
	var wg sync.WaitGroup
	went := make(chan struct{}, 3)
	for range 3 {
		wg.Go(func() {
			if err := p.After(t.Context(), func() error { went <- struct{}{}; return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	p.End()
	if len(went) != 0 {
		t.Error("a slice of a scan went while a request was there")
	}
	p.End()
	wg.Wait()
	if len(went) != 3 {
		t.Errorf("%d of 3 went", len(went))
	}
}

func TestAScanGoesOnSlowlyWhileRequestsKeepComing(t *testing.T) {
	var p Precedence
	p.Begin()
	for range 3 {
		if err := p.After(t.Context(), func() error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	p.last = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.After(ctx, func() error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
