package awsaccess_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/brainseg/brainseg/internal/build/awsaccess"
	"github.com/brainseg/brainseg/internal/dev/awstest"
)

func TestWithoutRegionOrCredentialsTheCureIsSaid(t *testing.T) {
	awstest.Isolate(t)
	t.Setenv("AWS_REGION", "")
	_, err := awsaccess.Load(t.Context(), awsaccess.Options{})
	if !errors.Is(err, awsaccess.ErrRegion) || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("no region: error %v", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	_, err = awsaccess.Load(t.Context(), awsaccess.Options{Region: "eu-west-1"})
	if !errors.Is(err, awsaccess.ErrCredentials) || !strings.Contains(err.Error(), "aws configure") {
		t.Errorf("no credentials: error %v", err)
	}
	if _, err := awsaccess.Load(t.Context(), awsaccess.Options{Profile: "absent"}); !errors.Is(err, awsaccess.ErrCredentials) {
		t.Errorf("no such profile: error %v", err)
	}
}

func TestEveryFailureHasAKindAndSaysWhatWasNeeded(t *testing.T) {
	api := func(code string) error { return &smithy.GenericAPIError{Code: code, Message: "words of AWS"} }
	status := func(code int) error {
		return &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: code}}, Err: errors.New("no more is known")}}
	}
	for _, test := range []struct {
		err  error
		want error
		says string
	}{
		{api("NoSuchKey"), awsaccess.ErrNotFound, "check the name"},
		{api("AccessDeniedException"), awsaccess.ErrDenied, "needs s3:GetObject on x"},
		{api("UnrecognizedClientException"), awsaccess.ErrCredentials, "check the keys"},
		{api("ExpiredToken"), awsaccess.ErrCredentials, "aws sso login"},
		{api("RequestTimeTooSkewed"), awsaccess.ErrCredentials, "clock"},
		{api("PermanentRedirect"), awsaccess.ErrRegion, "--region"},
		{api("PreconditionFailed"), awsaccess.ErrChanged, "start again"},
		{api("ThrottlingException"), awsaccess.ErrUnavailable, "wait a minute"},
		{api("ServiceQuotaExceededException"), awsaccess.ErrRefused, "words of AWS"},
		{&smithy.GenericAPIError{Code: "InternalError", Fault: smithy.FaultServer}, awsaccess.ErrUnavailable, "InternalError"},
		{status(403), awsaccess.ErrDenied, "needs s3:GetObject on x"},
		{status(404), awsaccess.ErrNotFound, "check the name"},
		{status(301), awsaccess.ErrRegion, "--region"},
		{status(412), awsaccess.ErrChanged, "start again"},
		{status(502), awsaccess.ErrUnavailable, "try again"},
		{errors.New("connection refused"), awsaccess.ErrUnavailable, "connection refused"},
		{context.Canceled, context.Canceled, "do it"},
		{fmt.Errorf("inner: %w", &awsaccess.Error{Kind: awsaccess.ErrDenied}), awsaccess.ErrDenied, "inner"},
	} {
		got := awsaccess.Failure("do it", "s3:GetObject on x", test.err)
		if !errors.Is(got, test.want) || !errors.Is(got, test.err) || !strings.Contains(got.Error(), test.says) || !strings.HasPrefix(got.Error(), "do it: ") {
			t.Errorf("%v became %v; want %v that says %q", test.err, got, test.want, test.says)
		}
	}
}

func TestAClosedPortIsToldInFewWords(t *testing.T) {
	awstest.Isolate(t)
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
	configuration, err := awsaccess.Load(t.Context(), awsaccess.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = awsaccess.S3(configuration).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("bucket"), Key: aws.String("key")})
	const want = `get it: AWS cannot be reached or failed (Get "http://127.0.0.1:1/bucket/key?x-id=GetObject": dial tcp 127.0.0.1:1: connect: connection refused); check the network, AWS_ENDPOINT_URL and the region, and try again`
	if err = awsaccess.Failure("get it", "s3:GetObject", err); !errors.Is(err, awsaccess.ErrUnavailable) || err.Error() != want {
		t.Errorf("error %v", err)
	}
}

func TestKeysThatS3DoesNotKnowAreTold(t *testing.T) {
	moto := awstest.UseMoto(t)
	moto.Become(t, awstest.Stranger)
	t.Setenv("AWS_ACCESS_KEY_ID", "unknown")
	configuration, err := awsaccess.Load(t.Context(), awsaccess.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = awsaccess.S3(configuration).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("bucket"), Key: aws.String("key")})
	if err = awsaccess.Failure("get it", "s3:GetObject", err); !errors.Is(err, awsaccess.ErrCredentials) {
		t.Errorf("error %v", err)
	}
}

func TestACallWhoseAnswerBreaksOffIsMadeAgain(t *testing.T) {
	awstest.Isolate(t)
	answers := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		const document = `{"TrainingJobName": "x"}`
		answers++
		if answers == 1 {
			w.Header().Set("Content-Length", strconv.Itoa(len(document)))
			io.WriteString(w, document[:9])
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, document)
	}))
	defer server.Close()
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	configuration, err := awsaccess.Load(t.Context(), awsaccess.Options{})
	if err != nil {
		t.Fatal(err)
	}
	job, err := sagemaker.NewFromConfig(configuration).DescribeTrainingJob(t.Context(), &sagemaker.DescribeTrainingJobInput{TrainingJobName: aws.String("x")})
	if err != nil || aws.ToString(job.TrainingJobName) != "x" || answers != 2 {
		t.Errorf("%d answers, job %+v, error %v", answers, job, err)
	}
}
