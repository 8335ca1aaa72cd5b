// Package trainingjob looks a SageMaker training job up by its name: where its
// artifact is, and by what it was made.
//
// It downloads nothing. Package cli calls it.
package trainingjob

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/smithy-go"

	"github.com/brainseg/brainseg/internal/build/awsaccess"
	"github.com/brainseg/brainseg/internal/model"
)

// Errors by which a caller decides; those of access are awsaccess'.
var (
	// ErrNoSuchJob: there is no job of that name in this region and account.
	ErrNoSuchJob = errors.New("no such training job")
	// ErrRunning: the job has not ended yet.
	ErrRunning = errors.New("the training job is still running")
	// ErrFailed: the job failed; the text has its FailureReason.
	ErrFailed = errors.New("the training job failed")
	// ErrStopped: the job was stopped before its end.
	ErrStopped = errors.New("the training job was stopped")
	// ErrNoArtifact: the job has ended and left no model in one archive.
	ErrNoArtifact = errors.New("the training job left no model artifact")
)

// API is the part of SageMaker's client that this package uses.
type API interface {
	DescribeTrainingJob(context.Context, *sagemaker.DescribeTrainingJobInput, ...func(*sagemaker.Options)) (*sagemaker.DescribeTrainingJobOutput, error)
	ListTrainingJobs(context.Context, *sagemaker.ListTrainingJobsInput, ...func(*sagemaker.Options)) (*sagemaker.ListTrainingJobsOutput, error)
}

// Describe returns the completed job of that name. An error wraps one of this
// package's, or awsaccess'.
func Describe(ctx context.Context, api API, name string) (*model.TrainingJob, error) {
	doing := "describe training job " + name
	out, err := api.DescribeTrainingJob(ctx, &sagemaker.DescribeTrainingJobInput{TrainingJobName: &name})
	if missing(err) {
		return nil, fmt.Errorf("%s: %w%s", doing, ErrNoSuchJob, latest(ctx, api))
	}
	if err != nil {
		return nil, awsaccess.Failure(doing, "sagemaker:DescribeTrainingJob", err)
	}
	if err := check(out); err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return job(out), nil
}

// missing tells whether SageMaker does not know the job. It has no error code of
// its own for that.
func missing(err error) bool {
	var notFound *types.ResourceNotFound
	if errors.As(err, &notFound) {
		return true
	}
	var api smithy.APIError
	if !errors.As(err, &api) || (api.ErrorCode() != "ValidationException" && api.ErrorCode() != "ValidationError") {
		return false
	}
	text := strings.ToLower(api.ErrorMessage())
	return strings.Contains(text, "not found") || strings.Contains(text, "could not find") || strings.Contains(text, "does not exist")
}

// latest names the jobs started last, where the caller may list them.
func latest(ctx context.Context, api API) string {
	cure := "; check the name, the region (--region) and the account (--profile)"
	out, err := api.ListTrainingJobs(ctx, &sagemaker.ListTrainingJobsInput{
		MaxResults: aws.Int32(5), SortBy: types.SortByCreationTime, SortOrder: types.SortOrderDescending})
	if err != nil || len(out.TrainingJobSummaries) == 0 {
		return cure
	}
	var names []string
	for _, s := range out.TrainingJobSummaries {
		names = append(names, aws.ToString(s.TrainingJobName))
	}
	return cure + "; the latest jobs here are " + strings.Join(names, ", ")
}

func check(out *sagemaker.DescribeTrainingJobOutput) error {
	switch out.TrainingJobStatus {
	case types.TrainingJobStatusCompleted:
	case types.TrainingJobStatusFailed:
		reason := aws.ToString(out.FailureReason)
		if reason == "" {
			reason = "SageMaker gives no reason; see the job's log in CloudWatch, group /aws/sagemaker/TrainingJobs"
		}
		return fmt.Errorf("%w: %s", ErrFailed, reason)
	case types.TrainingJobStatusStopped, types.TrainingJobStatusStopping:
		return fmt.Errorf("%w (%s), so that its model may be unfinished; if you want it nevertheless, give its artifact by --s3", ErrStopped, out.SecondaryStatus)
	default:
		return fmt.Errorf("%w (%s); wait for it: aws sagemaker wait training-job-completed-or-stopped --training-job-name %s",
			ErrRunning, out.SecondaryStatus, aws.ToString(out.TrainingJobName))
	}
	if out.ModelArtifacts == nil || aws.ToString(out.ModelArtifacts.S3ModelArtifacts) == "" {
		return fmt.Errorf("%w; a training script must leave its model in SM_MODEL_DIR", ErrNoArtifact)
	}
	if o := out.OutputDataConfig; o != nil && o.CompressionType == types.OutputCompressionTypeNone {
		folder := aws.ToString(out.ModelArtifacts.S3ModelArtifacts)
		return fmt.Errorf("%w that is one archive: its output is not compressed; copy it with aws s3 cp --recursive %s DIR and go on with model-build convert --file DIR", ErrNoArtifact, folder)
	}
	return nil
}

func job(out *sagemaker.DescribeTrainingJobOutput) *model.TrainingJob {
	j := &model.TrainingJob{
		Name:            aws.ToString(out.TrainingJobName),
		ARN:             aws.ToString(out.TrainingJobArn),
		Artifact:        aws.ToString(out.ModelArtifacts.S3ModelArtifacts),
		Hyperparameters: withoutSecrets(out.HyperParameters),
		Started:         utc(out.TrainingStartTime),
		Ended:           utc(out.TrainingEndTime),
	}
	if a := out.AlgorithmSpecification; a != nil {
		if j.Image = aws.ToString(a.TrainingImage); j.Image == "" {
			j.Image = aws.ToString(a.AlgorithmName)
		}
	}
	if r := out.ResourceConfig; r != nil && r.InstanceType != "" {
		j.Instances = fmt.Sprintf("%d x %s", aws.ToInt32(r.InstanceCount), r.InstanceType)
	}
	for _, c := range out.InputDataConfig {
		if c.DataSource != nil && c.DataSource.S3DataSource != nil {
			if j.Channels == nil {
				j.Channels = make(map[string]string)
			}
			j.Channels[aws.ToString(c.ChannelName)] = aws.ToString(c.DataSource.S3DataSource.S3Uri)
		}
	}
	for _, m := range out.FinalMetricDataList {
		if j.Metrics == nil {
			j.Metrics = make(map[string]float64)
		}
		j.Metrics[aws.ToString(m.MetricName)] = decimal(aws.ToFloat32(m.Value))
	}
	return j
}

var secretName = regexp.MustCompile(`(?i)secret|password|passwd|token|credential|api_?key`)

func withoutSecrets(parameters map[string]string) map[string]string {
	safe := maps.Clone(parameters)
	for name := range safe {
		if secretName.MatchString(name) {
			safe[name] = "redacted"
		}
	}
	return safe
}

// decimal keeps the digits that SageMaker shows: 0.86 stays 0.86.
func decimal(v float32) float64 {
	d, err := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', -1, 32), 64)
	if err != nil {
		return float64(v)
	}
	return d
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC().Truncate(time.Second)
	return &u
}
