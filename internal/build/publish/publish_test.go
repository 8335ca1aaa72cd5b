package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/greengrassv2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"github.com/brainseg/brainseg/internal/build/awsaccess"
	"github.com/brainseg/brainseg/internal/build/modelpackage"
	"github.com/brainseg/brainseg/internal/dev/awstest"
)

const component = "io.brainseg.BrainSegmentation.Model"

// cloud is what plays AWS, with a bucket of the test's own.
type cloud struct {
	moto       *awstest.Moto
	greengrass *awstest.Greengrass
	clients    Clients
	bucket     string
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{moto: awstest.UseMoto(t)}
	c.greengrass = awstest.UseGreengrass(t)
	c.connect(t)
	c.bucket = c.newBucket(t, "components", awstest.Region)
	return c
}

// connect makes clients by the environment.
func (c *cloud) connect(t *testing.T) {
	t.Helper()
	configuration, err := awsaccess.Load(t.Context(), awsaccess.Options{})
	if err != nil {
		t.Fatal(err)
	}
	configuration.RetryMaxAttempts = 1
	c.clients = Clients{S3: awsaccess.S3(configuration), Greengrass: greengrassv2.NewFromConfig(configuration), STS: sts.NewFromConfig(configuration)}
}

func (c *cloud) newBucket(t *testing.T, kind, region string) string {
	t.Helper()
	name := kind + strings.ToLower(fmt.Sprintf("-%x", time.Now().UnixNano()))
	_, err := c.clients.S3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name, CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(region)}},
		func(o *s3.Options) { o.Region = region })
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func (c *cloud) get(key string) ([]byte, error) {
	out, err := c.clients.S3.GetObject(context.Background(), &s3.GetObjectInput{Bucket: &c.bucket, Key: &key})
	if err != nil {
		return nil, err
	}
	defer out.Body.Close()
	return io.ReadAll(out.Body)
}

func (c *cloud) put(t *testing.T, key, content string) {
	t.Helper()
	if _, err := c.clients.S3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &c.bucket, Key: &key, Body: strings.NewReader(content)}); err != nil {
		t.Fatal(err)
	}
}

func (c *cloud) options() Options {
	return Options{Bucket: c.bucket, Region: awstest.Region, Poll: time.Millisecond, Wait: time.Minute}
}

func testPackage(t *testing.T) *modelpackage.Package {
	t.Helper()
	p, err := modelpackage.Build(filepath.Join("..", "..", "segmentation", "testdata", "models", "threshold"), t.TempDir(), modelpackage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTheComponentIsCreatedWithTheNextPatchVersion(t *testing.T) {
	c := newCloud(t)
	p := testPackage(t)
	zip, err := os.ReadFile(p.Artifacts[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	// As the real one, the server looks at the artifact when it gets the recipe.
	c.greengrass.BeforeCreate = func(recipe []byte) error {
		_, rest, _ := strings.Cut(string(recipe), "s3://"+c.bucket+"/")
		key, _, _ := strings.Cut(rest, "\n")
		content, err := c.get(key)
		if err == nil && !bytes.Equal(content, zip) {
			err = errors.New("another artifact")
		}
		return err
	}
	c.greengrass.Describes = 2
	for _, want := range []string{"1.0.0", "1.0.1", "1.0.2"} {
		var progress []string
		options := c.options()
		options.Progress = func(what string) { progress = append(progress, what) }
		r, err := Publish(t.Context(), c.clients, p, options)
		if err != nil {
			t.Fatal(err)
		}
		if r.Version != want || r.Component != component || r.Artifacts[0] != "s3://"+c.bucket+"/"+component+"/"+want+"/model.zip" ||
			r.ARN != "arn:aws:greengrass:eu-west-1:123456789012:components:"+component+":versions:"+want {
			t.Errorf("%+v", r)
		}
		created := c.greengrass.Components()
		if last := created[len(created)-1]; last.Version != want || string(last.Recipe) != r.Recipe {
			t.Errorf("created %+v", last)
		}
		if text := strings.Join(progress, "\n"); !strings.Contains(text, "REQUESTED") || !strings.HasSuffix(text, "DEPLOYABLE") {
			t.Errorf("progress %s", text)
		}
		for _, part := range []string{component + " " + want, "eu-west-1.console.aws.amazon.com", "Revise", r.Artifacts[0]} {
			if !strings.Contains(r.NextStep(), part) {
				t.Errorf("%q is not in\n%s", part, r.NextStep())
			}
		}
	}
	want := []string{"ListComponentVersions", "CreateComponentVersion", "DescribeComponent", "DescribeComponent", "DescribeComponent"}
	if diff := cmp.Diff(want, c.greengrass.Calls()[:5]); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestTheNextVersionFollowsTheHighest(t *testing.T) {
	for _, test := range []struct {
		versions []string
		want     string
	}{
		{nil, "1.0.0"},
		{[]string{"1.0.9", "1.0.10", "1.0.2"}, "1.0.11"},
		{[]string{"2.0.0", "10.1.3"}, "10.1.4"},
		{[]string{"1.2.3-beta"}, "1.2.4"},
		{[]string{"nonsense"}, "1.0.0"},
	} {
		if got := next(test.versions); got != test.want {
			t.Errorf("after %v comes %s, want %s", test.versions, got, test.want)
		}
	}
}

func TestADryRunChangesNothing(t *testing.T) {
	c := newCloud(t)
	c.greengrass.Add(component, "1.4.7")
	options := c.options()
	options.DryRun = true
	r, err := Publish(t.Context(), c.clients, testPackage(t), options)
	if err != nil {
		t.Fatal(err)
	}
	if !r.DryRun || r.Version != "1.4.8" || !strings.Contains(r.Recipe, r.Artifacts[0]) || !strings.Contains(r.Recipe, `"1.4.8"`) {
		t.Errorf("%+v", r)
	}
	if diff := cmp.Diff([]string{"ListComponentVersions"}, c.greengrass.Calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	objects, err := c.clients.S3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &c.bucket})
	if err != nil || len(objects.Contents) > 0 {
		t.Errorf("%d objects, %v", len(objects.Contents), err)
	}
}

func TestAnArtifactOfAnotherPublisherIsNeverReplaced(t *testing.T) {
	c := newCloud(t)
	c.put(t, component+"/1.0.0/model.zip", "another's")
	r, err := Publish(t.Context(), c.clients, testPackage(t), c.options())
	if err != nil {
		t.Fatal(err)
	}
	if r.Version != "1.0.1" {
		t.Errorf("version %s", r.Version)
	}
	if content, err := c.get(component + "/1.0.0/model.zip"); err != nil || string(content) != "another's" {
		t.Errorf("the other artifact is %q (%v)", content, err)
	}
	options := c.options()
	options.Version = "1.0.0"
	if _, err := Publish(t.Context(), c.clients, testPackage(t), options); !errors.Is(err, ErrVersionTaken) {
		t.Errorf("a version that was asked for: error %v", err)
	}
	options.Version = "1.0.1" // the artifact is the same, the component exists
	if _, err := Publish(t.Context(), c.clients, testPackage(t), options); !errors.Is(err, ErrVersionTaken) {
		t.Errorf("a version that exists: error %v", err)
	}
}

func TestAnInterruptedPublicationIsFinishedWithTheSameVersion(t *testing.T) {
	c := newCloud(t)
	p := testPackage(t)
	c.greengrass.Refuse, c.greengrass.RefuseMessage = "InternalServerException", "try again"
	if _, err := Publish(t.Context(), c.clients, p, c.options()); err == nil {
		t.Fatal("a failure of Greengrass went unnoticed")
	}
	c.greengrass.Refuse = ""
	r, err := Publish(t.Context(), c.clients, p, c.options())
	if err != nil || r.Version != "1.0.0" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestAVersionThatWasBegunIsFinishedOnlyIfItIsStillOurs(t *testing.T) {
	c := newCloud(t)
	p := testPackage(t)
	var begun []string
	options := c.options()
	options.Begin = func(version string) error { begun = append(begun, version); return nil }
	if _, err := Publish(t.Context(), c.clients, p, options); err != nil {
		t.Fatal(err)
	}
	options.Begun = "1.0.0"
	r, err := Publish(t.Context(), c.clients, p, options)
	if err != nil || r.Version != "1.0.0" || len(c.greengrass.Components()) != 1 {
		t.Errorf("ours: %+v, %v", r, err)
	}
	c.put(t, component+"/1.0.1/model.zip", "another's")
	options.Begun = "1.0.1"
	if r, err = Publish(t.Context(), c.clients, p, options); err != nil || r.Version != "1.0.2" {
		t.Errorf("another's: %+v, %v", r, err)
	}
	if diff := cmp.Diff([]string{"1.0.0", "1.0.0", "1.0.1", "1.0.2"}, begun); diff != "" {
		t.Errorf("begun (-want +got):\n%s", diff)
	}
	failure := errors.New("the disk is full")
	options.Begin = func(string) error { return failure }
	if _, err := Publish(t.Context(), c.clients, p, options); !errors.Is(err, failure) {
		t.Errorf("what cannot be remembered: error %v", err)
	}
}

func TestWhatGreengrassRefusesComesWithACure(t *testing.T) {
	for _, test := range []struct {
		name          string
		code, message string
		want          error
		says          []string
	}{
		{"no right to create", "AccessDeniedException", "User is not authorized to perform: greengrass:CreateComponentVersion", awsaccess.ErrDenied,
			[]string{"greengrass:CreateComponentVersion on arn:aws:greengrass:eu-west-1:123456789012:components:" + component}},
		{"no right to read the artifact", "ValidationException",
			"Invalid Input: Encountered following errors in Artifacts: {s3://b/k = Specified artifact resource cannot be accessed}", awsaccess.ErrRefused,
			[]string{"s3:GetObject", `{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::`, "token exchange role", "policy of bucket"}},
		{"too many components", "ServiceQuotaExceededException", "too many", awsaccess.ErrRefused, []string{"too many"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCloud(t)
			c.greengrass.Refuse, c.greengrass.RefuseMessage = test.code, test.message
			_, err := Publish(t.Context(), c.clients, testPackage(t), c.options())
			if !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			for _, part := range test.says {
				if !strings.Contains(fmt.Sprint(err), part) {
					t.Errorf("%q is not in %v", part, err)
				}
			}
		})
	}
}

func TestAComponentThatCannotBecomeDeployableFails(t *testing.T) {
	c := newCloud(t)
	c.greengrass.Failure = "Specified artifact resource cannot be accessed"
	_, err := Publish(t.Context(), c.clients, testPackage(t), c.options())
	if !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "cannot be accessed") || !strings.Contains(err.Error(), "s3:GetObject") {
		t.Errorf("error %v", err)
	}
	c = newCloud(t)
	c.greengrass.Describes = 1_000_000
	options := c.options()
	options.Wait = 50 * time.Millisecond
	if _, err := Publish(t.Context(), c.clients, testPackage(t), options); !errors.Is(err, ErrTimeout) {
		t.Errorf("error %v, want ErrTimeout", err)
	}
}

func TestABucketThatCannotServeIsFoundBeforeTheUpload(t *testing.T) {
	c := newCloud(t)
	options := c.options()
	options.Bucket = "there-is-no-such-bucket"
	_, err := Publish(t.Context(), c.clients, testPackage(t), options)
	if !errors.Is(err, ErrBucket) || !strings.Contains(err.Error(), "aws s3 mb s3://there-is-no-such-bucket --region eu-west-1") {
		t.Errorf("error %v", err)
	}
	options.Bucket = c.newBucket(t, "elsewhere", "us-west-2")
	_, err = Publish(t.Context(), c.clients, testPackage(t), options)
	if !errors.Is(err, ErrBucket) || !strings.Contains(err.Error(), "us-west-2") {
		t.Errorf("error %v", err)
	}
	if calls := c.greengrass.Calls(); len(calls) > 0 {
		t.Errorf("calls %v", calls)
	}
}

func TestACallerWithoutRightsIsToldWhichAreMissing(t *testing.T) {
	c := newCloud(t)
	c.moto.Become(t, awstest.Stranger)
	c.connect(t)
	// The Greengrass of the tests takes the administrator's key alone.
	configuration, err := awsaccess.Load(t.Context(), awsaccess.Options{})
	if err != nil {
		t.Fatal(err)
	}
	configuration.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: awstest.AccessKey, SecretAccessKey: awstest.SecretKey}, nil
	})
	c.clients.Greengrass = greengrassv2.NewFromConfig(configuration)
	_, err = Publish(t.Context(), c.clients, testPackage(t), c.options())
	if !errors.Is(err, awsaccess.ErrDenied) || !strings.Contains(err.Error(), `"Action": "s3:PutObject"`) {
		t.Errorf("error %v", err)
	}
	if calls := c.greengrass.Calls(); slices.Contains(calls, "CreateComponentVersion") {
		t.Errorf("calls %v", calls)
	}
}

func TestAPackageThatChangedSinceIsNotUploaded(t *testing.T) {
	c := newCloud(t)
	p := testPackage(t)
	if err := os.WriteFile(p.Artifacts[0].Path, []byte("another"), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Publish(t.Context(), c.clients, p, c.options()); err == nil || !strings.Contains(err.Error(), "has changed") {
		t.Errorf("error %v", err)
	}
}
