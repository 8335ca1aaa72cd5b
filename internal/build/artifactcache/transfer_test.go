package artifactcache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/brainseg/brainseg/internal/build/awsaccess"
	"github.com/brainseg/brainseg/internal/dev/awstest"
)

func TestAnArtifactIsFetchedOnceAndThenFoundInTheCache(t *testing.T) {
	content := randomBytes(1, 5<<20+12345)
	proxy, api := bucket(t, content)
	c := open(t)
	var last int64
	progress := func(done, size int64) {
		if done < last || size != int64(len(content)) {
			t.Errorf("progress went from %d to %d of %d", last, done, size)
		}
		last = done
	}
	a, err := c.FromS3(t.Context(), api, artifactURI, Options{PartBytes: 1 << 20, Progress: progress})
	if err != nil {
		t.Fatal(err)
	}
	checkArtifact(t, a, content)
	if a.Cached || a.VersionID == "" || a.Source != artifactURI || last != int64(len(content)) {
		t.Errorf("artifact %+v, progress ended at %d", a, last)
	}
	if gets := proxy.Requests("GET"); gets != 6 {
		t.Errorf("%d parts were fetched, want 6", gets)
	}
	proxy.Set(awstest.Fault{})
	again, err := c.FromS3(t.Context(), api, artifactURI, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if gets := proxy.Requests("GET"); !again.Cached || gets != 0 {
		t.Errorf("the second time: %+v, %d parts fetched", again, gets)
	}
	again.Cached = false
	if again != a {
		t.Errorf("the second time %+v, the first %+v", again, a)
	}
	if entries, _ := filepath.Glob(filepath.Join(c.dir, "partial", "*", "*")); len(entries) > 0 {
		t.Errorf("%v is left over", entries)
	}
}

func TestATransferCutAtTenRandomPointsIsResumed(t *testing.T) {
	content := randomBytes(2, 24<<20+777)
	proxy, api := bucket(t, content)
	random := rand.New(rand.NewPCG(11, 12))
	for range 10 {
		cut := 1 + random.Int64N(int64(len(content))-1)
		t.Run(fmt.Sprintf("after %d bytes", cut), func(t *testing.T) {
			c := open(t)
			options := Options{PartBytes: 2 << 20, Parallel: 4, Attempts: 1}
			proxy.Set(awstest.Fault{CutAfter: cut})
			_, err := c.FromS3(t.Context(), api, artifactURI, options)
			if !errors.Is(err, awsaccess.ErrUnavailable) {
				t.Fatalf("error %v, want ErrUnavailable", err)
			}
			checkNothingUsable(t, c)
			proxy.Set(awstest.Fault{})
			a, err := c.FromS3(t.Context(), api, artifactURI, options)
			if err != nil {
				t.Fatal(err)
			}
			checkArtifact(t, a, content)
			// What was under way when the connections were cut may come twice:
			// the buffers of four connections.
			again := proxy.Passed() + cut - int64(len(content))
			t.Logf("%d bytes came before the cut, %d after it, %d twice", cut, proxy.Passed(), again)
			if again > 4<<20 {
				t.Errorf("%d bytes came twice", again)
			}
		})
	}
}

func TestOneRunSurvivesManyCuts(t *testing.T) {
	content := randomBytes(3, 12<<20)
	proxy, api := bucket(t, content)
	proxy.Set(awstest.Fault{CutAfter: 3 << 20})
	ctx, cancel := context.WithCancel(t.Context())
	cuts := 0
	var repair sync.WaitGroup
	repair.Go(func() {
		for ; ctx.Err() == nil; time.Sleep(time.Millisecond) {
			if proxy.Passed() >= 3<<20 {
				cuts++
				proxy.Set(awstest.Fault{CutAfter: 3 << 20})
			}
		}
	})
	a, err := open(t).FromS3(ctx, api, artifactURI, Options{PartBytes: 1 << 20})
	cancel()
	repair.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if cuts < 3 {
		t.Errorf("the connections were cut %d times", cuts)
	}
	checkArtifact(t, a, content)
}

func TestAnInterruptedTransferGoesOnAndNothingHalfIsUsed(t *testing.T) {
	content := randomBytes(4, 8<<20)
	proxy, api := bucket(t, content)
	proxy.Set(awstest.Fault{Pause: time.Millisecond})
	c := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := c.FromS3(ctx, api, artifactURI, Options{PartBytes: 1 << 20, Parallel: 2, Progress: func(done, _ int64) {
		if done > 4<<20 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "the next run goes on") {
		t.Fatalf("error %v, want context.Canceled, and what to do", err)
	}
	checkNothingUsable(t, c)
	proxy.Set(awstest.Fault{})
	first := int64(-1)
	a, err := c.FromS3(t.Context(), api, artifactURI, Options{PartBytes: 1 << 20, Progress: func(done, _ int64) {
		if first < 0 {
			first = done
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	checkArtifact(t, a, content)
	if first <= 4<<20 {
		t.Errorf("the second run began with %d bytes", first)
	}
	if passed := proxy.Passed(); passed > 5<<20 {
		t.Errorf("%d bytes came in the second run", passed)
	}
}

func TestWrongBytesAreFoundAndFetchedAgain(t *testing.T) {
	content := randomBytes(5, 3<<20)
	proxy, api := bucket(t, content)
	proxy.Set(awstest.Fault{FlipAt: 2_000_000})
	a, err := open(t).FromS3(t.Context(), api, artifactURI, Options{PartBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	checkArtifact(t, a, content)

	proxy.Set(awstest.Fault{FlipEvery: 1_000_000})
	c := open(t)
	_, err = c.FromS3(t.Context(), api, artifactURI, Options{PartBytes: 1 << 20})
	if !errors.Is(err, ErrChecksum) {
		t.Errorf("error %v, want ErrChecksum", err)
	}
	checkNothingUsable(t, c)
	proxy.Set(awstest.Fault{})
	if a, err = c.FromS3(t.Context(), api, artifactURI, Options{}); err != nil {
		t.Fatal(err)
	}
	checkArtifact(t, a, content)
}

func TestASlowTransferSucceedsAndAStalledOneEnds(t *testing.T) {
	content := randomBytes(6, 1<<20)
	proxy, api := bucket(t, content)
	// In all it takes longer than a stall may, and each piece far less.
	options := Options{PartBytes: 256 << 10, Parallel: 1, Stall: 2 * time.Second, Attempts: 2}
	proxy.Set(awstest.Fault{Pause: 40 * time.Millisecond})
	start := time.Now()
	a, err := open(t).FromS3(t.Context(), api, artifactURI, options)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < options.Stall {
		t.Errorf("the transfer took %v and was not slow", took)
	}
	checkArtifact(t, a, content)

	proxy.Set(awstest.Fault{StallAfter: 600 << 10})
	options.Stall = 300 * time.Millisecond
	c := open(t)
	if _, err := c.FromS3(t.Context(), api, artifactURI, options); !errors.Is(err, ErrStalled) {
		t.Errorf("error %v, want ErrStalled", err)
	}
	checkNothingUsable(t, c)
}

func TestAnObjectThatChangesMidwayIsNotMixedWithTheOldOne(t *testing.T) {
	first, second := randomBytes(7, 4<<20), randomBytes(8, 4<<20)
	proxy, api := bucket(t, first)
	// Without versions the old content is gone.
	_, err := api.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{Bucket: aws.String("models"),
		VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusSuspended}})
	if err != nil {
		t.Fatal(err)
	}
	put(t, api, first)
	proxy.Set(awstest.Fault{CutAfter: 2 << 20})
	c := open(t)
	if _, err := c.FromS3(t.Context(), api, artifactURI, Options{PartBytes: 1 << 20, Attempts: 1}); err == nil {
		t.Fatal("the cut went unnoticed")
	}
	proxy.Set(awstest.Fault{})
	put(t, api, second)
	a, err := c.FromS3(t.Context(), api, artifactURI, Options{})
	if err != nil {
		t.Fatal(err)
	}
	checkArtifact(t, a, second)

	var once sync.Once
	c = open(t)
	_, err = c.FromS3(t.Context(), api, artifactURI, Options{PartBytes: 256 << 10, Parallel: 1, Progress: func(done, _ int64) {
		once.Do(func() { put(t, api, first) })
	}})
	if !errors.Is(err, awsaccess.ErrChanged) {
		t.Errorf("error %v, want ErrChanged", err)
	}
	checkNothingUsable(t, c)
}

func TestAnOlderVersionCanBeFetched(t *testing.T) {
	first, second := randomBytes(9, 1000), randomBytes(10, 2000)
	_, api := bucket(t, first)
	a, err := open(t).FromS3(t.Context(), api, artifactURI, Options{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, api, second)
	c := open(t)
	newest, err := c.FromS3(t.Context(), api, artifactURI, Options{})
	if err != nil {
		t.Fatal(err)
	}
	checkArtifact(t, newest, second)
	old, err := c.FromS3(t.Context(), api, artifactURI, Options{VersionID: a.VersionID})
	if err != nil {
		t.Fatal(err)
	}
	checkArtifact(t, old, first)
}

func TestWhatCannotBeFetchedIsNamedWithACure(t *testing.T) {
	_, api := bucket(t, []byte("content"))
	c := open(t)
	for _, test := range []struct {
		name, uri string
		options   Options
		want      error
	}{
		{"no such key", "s3://models/absent", Options{}, awsaccess.ErrNotFound},
		{"no such bucket", "s3://absent/key", Options{}, awsaccess.ErrNotFound},
		{"not a reference", "models/key", Options{}, ErrReference},
		{"a folder", "s3://models/job/", Options{}, ErrReference},
		{"too large", artifactURI, Options{MaxBytes: 6}, ErrSize},
		{"another digest than asked for", artifactURI, Options{SHA256: sumOf(nil)}, ErrChecksum},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := c.FromS3(t.Context(), api, test.uri, test.options)
			if !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			t.Log(err)
		})
	}
	if _, err := c.FromS3(t.Context(), api, artifactURI, Options{SHA256: strings.ToUpper(sumOf([]byte("content")))}); err != nil {
		t.Errorf("the digest that was asked for: %v", err)
	}
}

func TestTwoAtOnceTransferOnlyOnce(t *testing.T) {
	content := randomBytes(13, 2<<20)
	proxy, api := bucket(t, content)
	c := open(t)
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			a, err := c.FromS3(t.Context(), api, artifactURI, Options{PartBytes: 1 << 20})
			if err != nil {
				t.Error(err)
				return
			}
			checkArtifact(t, a, content)
		})
	}
	both.Wait()
	if passed := proxy.Passed(); passed > 2<<20+1<<19 {
		t.Errorf("%d bytes passed", passed)
	}
}

func TestADamagedArtifactIsFetchedAgain(t *testing.T) {
	content := randomBytes(14, 1<<20)
	_, api := bucket(t, content)
	c := open(t)
	a, err := c.FromS3(t.Context(), api, artifactURI, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(a.Path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.Path, []byte("damaged"), fs.FileMode(0o640)); err != nil {
		t.Fatal(err)
	}
	if a, err = c.FromS3(t.Context(), api, artifactURI, Options{}); err != nil || a.Cached {
		t.Fatalf("artifact %+v, error %v", a, err)
	}
	checkArtifact(t, a, content)
}
