package trainingjob

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/google/go-cmp/cmp"

	"github.com/brainseg/brainseg/internal/build/awsaccess"
	"github.com/brainseg/brainseg/internal/dev/awstest"
	"github.com/brainseg/brainseg/internal/model"
)

// client returns one by the environment that does not repeat calls.
func client(t *testing.T) *sagemaker.Client {
	t.Helper()
	configuration, err := awsaccess.Load(t.Context(), awsaccess.Options{})
	if err != nil {
		t.Fatal(err)
	}
	configuration.RetryMaxAttempts = 1
	return sagemaker.NewFromConfig(configuration)
}

// train makes a training job, which moto completes at once.
func train(t *testing.T, api *sagemaker.Client, name string, change ...func(*sagemaker.CreateTrainingJobInput)) {
	t.Helper()
	in := &sagemaker.CreateTrainingJobInput{
		TrainingJobName:        &name,
		RoleArn:                aws.String("arn:aws:iam::123456789012:role/training"),
		AlgorithmSpecification: &types.AlgorithmSpecification{TrainingImage: aws.String("image:1"), TrainingInputMode: types.TrainingInputModeFile},
		HyperParameters:        map[string]string{"network": "enet", "epochs": "12", "hub_token": "do not tell"},
		InputDataConfig: []types.Channel{{ChannelName: aws.String("train"), DataSource: &types.DataSource{S3DataSource: &types.S3DataSource{
			S3DataType: types.S3DataTypeS3Prefix, S3Uri: aws.String("s3://models/train")}}}},
		OutputDataConfig:  &types.OutputDataConfig{S3OutputPath: aws.String("s3://models/jobs")},
		ResourceConfig:    &types.ResourceConfig{InstanceCount: aws.Int32(2), InstanceType: types.TrainingInstanceTypeMlC5Xlarge, VolumeSizeInGB: aws.Int32(30)},
		StoppingCondition: &types.StoppingCondition{MaxRuntimeInSeconds: aws.Int32(3600)},
	}
	for _, c := range change {
		c(in)
	}
	if _, err := api.CreateTrainingJob(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

func TestACompletedJobTellsWhereItsArtifactIsAndHowItWasMade(t *testing.T) {
	awstest.UseMoto(t)
	api := client(t)
	train(t, api, "completed")
	got, err := Describe(t.Context(), api, "completed")
	if err != nil {
		t.Fatal(err)
	}
	if got.Started == nil || got.Ended == nil || time.Since(*got.Ended) > time.Hour {
		t.Errorf("started %v, ended %v", got.Started, got.Ended)
	}
	got.Started, got.Ended = nil, nil
	want := &model.TrainingJob{
		Name: "completed", ARN: "arn:aws:sagemaker:eu-west-1:123456789012:training-job/completed",
		Artifact: "s3://models/jobs/completed/output/model.tar.gz", Image: "image:1", Instances: "2 x ml.c5.xlarge",
		Hyperparameters: map[string]string{"network": "enet", "epochs": "12", "hub_token": "redacted"},
		Channels:        map[string]string{"train": "s3://models/train"},
		Metrics:         map[string]float64{"train:progress": 100},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAJobThatLeftNoModelIsNamedWithTheReason(t *testing.T) {
	moto := awstest.UseMoto(t)
	api := client(t)
	for _, test := range []struct {
		name, status, secondary, reason string
		want                            error
		says                            []string
	}{
		{"running", "InProgress", "Training", "", ErrRunning, []string{"Training", "aws sagemaker wait training-job-completed-or-stopped --training-job-name running"}},
		{"failed", "Failed", "Failed", "AlgorithmError: no data in channel train", ErrFailed, []string{"AlgorithmError: no data in channel train"}},
		{"failed-silently", "Failed", "Failed", "", ErrFailed, []string{"CloudWatch"}},
		{"stopped", "Stopped", "MaxRuntimeExceeded", "", ErrStopped, []string{"MaxRuntimeExceeded", "--s3"}},
		{"stopping", "Stopping", "Stopping", "", ErrStopped, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			train(t, api, test.name)
			moto.SetJob(t, test.name, test.status, test.secondary, test.reason)
			_, err := Describe(t.Context(), api, test.name)
			if !errors.Is(err, test.want) {
				t.Fatalf("error %v, want %v", err, test.want)
			}
			for _, part := range append(test.says, test.name) {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in %v", part, err)
				}
			}
		})
	}
}

func TestAJobWhoseOutputIsNotCompressedComesWithACure(t *testing.T) {
	awstest.UseMoto(t)
	api := client(t)
	train(t, api, "uncompressed", func(in *sagemaker.CreateTrainingJobInput) {
		in.OutputDataConfig.CompressionType = types.OutputCompressionTypeNone
	})
	_, err := Describe(t.Context(), api, "uncompressed")
	if !errors.Is(err, ErrNoArtifact) || !strings.Contains(err.Error(), "aws s3 cp --recursive s3://models/jobs/uncompressed/") {
		t.Errorf("error %v", err)
	}
}

func TestAJobThatDoesNotExistIsNamedWithThoseThatDo(t *testing.T) {
	awstest.UseMoto(t)
	api := client(t)
	train(t, api, "another")
	_, err := Describe(t.Context(), api, "absent")
	if !errors.Is(err, ErrNoSuchJob) || !strings.Contains(err.Error(), "the latest jobs here are ") || !strings.Contains(err.Error(), "--region") {
		t.Errorf("error %v", err)
	}
	// In another region there are no jobs at all.
	t.Setenv("AWS_REGION", "us-west-2")
	if _, err := Describe(t.Context(), client(t), "another"); !errors.Is(err, ErrNoSuchJob) {
		t.Errorf("error %v", err)
	}
}

func TestACallerWithoutRightsOrConnectionIsTold(t *testing.T) {
	moto := awstest.UseMoto(t)
	train(t, client(t), "secret")
	moto.Become(t, awstest.Stranger)
	_, err := Describe(t.Context(), client(t), "secret")
	if !errors.Is(err, awsaccess.ErrDenied) || !strings.Contains(err.Error(), "sagemaker:DescribeTrainingJob") {
		t.Errorf("no rights: error %v", err)
	}
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
	if _, err := Describe(t.Context(), client(t), "secret"); !errors.Is(err, awsaccess.ErrUnavailable) {
		t.Errorf("no connection: error %v", err)
	}
}
