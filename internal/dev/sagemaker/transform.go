package sagemaker

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Job is a transform job, as CreateTransformJob takes it. What has nothing to do
// with the container is left out.
type Job struct {
	MaxConcurrentTransforms int
	MaxPayloadInMB          *int
	BatchStrategy           string
	ModelClientConfig       struct {
		InvocationsTimeoutInSeconds int
		InvocationsMaxRetries       *int
	}
	TransformInput struct {
		ContentType, SplitType string
	}
	TransformOutput struct {
		Accept, AssembleWith string
	}
	Environment map[string]string
}

// ReadJob reads the document of a job.
func ReadJob(path string) (Job, error) {
	var j Job
	document, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(document, &j)
	}
	return j, err
}

// Env is what the service adds to the environment of the job's containers.
func (j Job) Env() []string {
	env := []string{"SAGEMAKER_BATCH=true"}
	if j.BatchStrategy != "" {
		strategies := map[string]string{"MultiRecord": "MULTI_RECORD", "SingleRecord": "SINGLE_RECORD"}
		env = append(env, "SAGEMAKER_BATCH_STRATEGY="+strategies[j.BatchStrategy])
	}
	if j.MaxPayloadInMB != nil {
		env = append(env, "SAGEMAKER_MAX_PAYLOAD_IN_MB="+strconv.Itoa(*j.MaxPayloadInMB))
	}
	if j.MaxConcurrentTransforms > 0 {
		env = append(env, "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS="+strconv.Itoa(j.MaxConcurrentTransforms))
	}
	for name, value := range j.Environment {
		env = append(env, name+"="+value)
	}
	return env
}

// ErrFailed is wrapped by the error of a job of which a file failed. The others
// have their outputs.
var ErrFailed = errors.New("the transform job failed")

// Run transforms each file below the folder in, and leaves NAME.out below the
// folder out. Calls that fail by no fault of theirs are made again, as often as the
// job says.
func (j Job) Run(ctx context.Context, c Container, in, out string) error {
	asked := c.executionParameters(ctx)
	j.MaxConcurrentTransforms = cmp.Or(j.MaxConcurrentTransforms, asked.MaxConcurrentTransforms)
	if j.MaxPayloadInMB == nil {
		j.MaxPayloadInMB = &asked.MaxPayloadInMB
	}
	if together := j.MaxConcurrentTransforms * *j.MaxPayloadInMB; together > maxPayloadTogether {
		return fmt.Errorf("MaxConcurrentTransforms x MaxPayloadInMB is %d, and at most %d is allowed", together, maxPayloadTogether)
	}
	var files []string
	err := filepath.WalkDir(in, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	slices.Sort(files)
	next := make(chan string)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failures []error // guarded by mu
	for range j.MaxConcurrentTransforms {
		wg.Go(func() {
			for path := range next {
				if err := j.transform(ctx, c, in, path, out); err != nil {
					mu.Lock()
					failures = append(failures, fmt.Errorf("%s: %w", path, err))
					mu.Unlock()
				}
			}
		})
	}
	for _, path := range files {
		next <- path
	}
	close(next)
	wg.Wait()
	if len(failures) > 0 {
		return fmt.Errorf("%w: %d of %d files, %w", ErrFailed, len(failures), len(files), errors.Join(failures...))
	}
	return nil
}

// transform makes the output of one file.
func (j Job) transform(ctx context.Context, c Container, in, path, out string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var output bytes.Buffer
	for i, payload := range j.payloads(content) {
		if limit := *j.MaxPayloadInMB << 20; limit > 0 && len(payload) > limit {
			return fmt.Errorf("a payload has %d bytes, and MaxPayloadInMB is %d", len(payload), *j.MaxPayloadInMB)
		}
		answer, err := j.call(ctx, c, payload)
		if err != nil {
			return err
		}
		if i > 0 && j.TransformOutput.AssembleWith == "Line" {
			output.WriteByte('\n')
		}
		output.Write(answer)
	}
	relative, err := filepath.Rel(in, path)
	if err != nil {
		return err
	}
	to := filepath.Join(out, relative+".out")
	if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
		return err
	}
	return os.WriteFile(to, output.Bytes(), 0o640)
}

// payloads are the bodies of the calls for one file.
func (j Job) payloads(content []byte) [][]byte {
	if j.TransformInput.SplitType != "Line" {
		return [][]byte{content}
	}
	var list [][]byte
	begin, end := 0, 0 // of the last payload
	for line := range bytes.Lines(content) {
		if len(list) > 0 && j.BatchStrategy != "SingleRecord" && end-begin+len(line) <= *j.MaxPayloadInMB<<20 {
			end += len(line)
			list[len(list)-1] = content[begin:end]
			continue
		}
		begin, end = end, end+len(line)
		list = append(list, line)
	}
	return list
}

// call makes the calls for one payload until one is answered well.
func (j Job) call(ctx context.Context, c Container, payload []byte) ([]byte, error) {
	timeout := time.Duration(cmp.Or(j.ModelClientConfig.InvocationsTimeoutInSeconds, 600)) * time.Second
	retries := 3
	if n := j.ModelClientConfig.InvocationsMaxRetries; n != nil {
		retries = *n
	}
	for try := 0; ; try++ {
		limited, cancel := context.WithTimeout(ctx, timeout)
		answer, err := c.call(limited, http.MethodPost, "/invocations", payload, headers(j.TransformInput.ContentType, j.TransformOutput.Accept))
		cancel()
		switch {
		case err == nil && answer.Status/100 == 2:
			return answer.Body, nil
		case err == nil && (answer.Status/100 != 5 && answer.Status != http.StatusTooManyRequests || try == retries):
			return nil, fmt.Errorf("the container answered %d: %s", answer.Status, answer.Body)
		case err != nil && try == retries:
			return nil, err
		}
	}
}
