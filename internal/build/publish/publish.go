// Package publish uploads a model component to S3 and creates it in AWS IoT
// Greengrass, with the next free version, as GDK does.
//
// It makes no packages and deploys nothing. Package cli calls it.
package publish

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/greengrassv2"
	"github.com/aws/aws-sdk-go-v2/service/greengrassv2/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/brainseg/brainseg/internal/build/awsaccess"
	"github.com/brainseg/brainseg/internal/build/modelpackage"
	"github.com/brainseg/brainseg/internal/recipe"
)

// Errors by which a caller decides; those of access are awsaccess'.
var (
	// ErrVersionTaken: the version exists already, with another content.
	ErrVersionTaken = errors.New("this version of the component exists already")
	// ErrFailed: Greengrass has the component and cannot use it.
	ErrFailed = errors.New("the component cannot be used by Greengrass")
	// ErrTimeout: Greengrass has not finished within Options.Wait.
	ErrTimeout = errors.New("the component is not ready yet at Greengrass")
	// ErrBucket: the bucket cannot serve a component of this region.
	ErrBucket = errors.New("the bucket cannot be used")
)

// Clients are the parts of AWS that publishing takes.
type Clients struct {
	S3         *s3.Client
	Greengrass *greengrassv2.Client
	STS        *sts.Client
}

// Options are the settings of Publish.
type Options struct {
	// Bucket that the zip goes to; required. It must exist, in Region.
	Bucket string
	// Region of the component; required.
	Region string
	// Version of the component; default the highest that exists with its last
	// number one higher, 1.0.0 where there is none.
	Version string
	// Begun is the version that an earlier run began to publish of the same
	// package, and was interrupted; default none. It is finished if it is still
	// this package's; otherwise the next is taken.
	Begun string
	// Begin is told the version before anything is changed at AWS, so that it can
	// be remembered for Begun; default nobody. An error ends the publication.
	Begin func(version string) error
	// DryRun makes only calls that change nothing.
	DryRun bool
	// Wait is how long Greengrass may take until the component is deployable;
	// default 5 minutes.
	Wait time.Duration
	// Poll is the time between two looks at it; default 2 seconds.
	Poll time.Duration
	// Progress is told what is being done; default nobody.
	Progress func(what string)
}

// Result is what was published, or would be. Its JSON form is a record of it.
type Result struct {
	Component string `json:"component"`
	Version   string `json:"version"`
	ARN       string `json:"arn"`
	Region    string `json:"region"`
	// Artifacts are the s3:// URIs of the zips.
	Artifacts []string `json:"artifacts"`
	// SHA256 is the package's digest, one of all zips.
	SHA256 string `json:"sha256"`
	// Recipe as it was sent.
	Recipe string `json:"-"`
	// DryRun tells that nothing was changed.
	DryRun bool `json:"-"`
}

// attempts is how often the next version is tried, while others publish too.
const attempts = 3

// Publish uploads the package and creates the component. When it returns without
// an error, the component can be deployed.
func Publish(ctx context.Context, clients Clients, p *modelpackage.Package, options Options) (*Result, error) {
	if options.Wait <= 0 {
		options.Wait = 5 * time.Minute
	}
	if options.Poll <= 0 {
		options.Poll = 2 * time.Second
	}
	if options.Progress == nil {
		options.Progress = func(string) {}
	}
	if options.Begin == nil {
		options.Begin = func(string) error { return nil }
	}
	u := &publisher{clients: clients, p: p, options: options}
	for _, a := range p.Artifacts {
		content, err := os.ReadFile(a.Path)
		if err != nil {
			return nil, fmt.Errorf("publish %s: %w", p.Component, err)
		}
		// What is uploaded is what was looked at, even if the file changes meanwhile.
		z := zipFile{name: a.Name(), content: content, sum: sha256.Sum256(content)}
		if hex.EncodeToString(z.sum[:]) != a.SHA256 {
			return nil, fmt.Errorf("publish %s: %s has changed; package it again", p.Component, a.Path)
		}
		u.zips = append(u.zips, z)
	}
	if err := u.identify(ctx); err != nil {
		return nil, err
	}
	if err := u.checkBucket(ctx); err != nil {
		return nil, err
	}
	if options.Begun != "" && options.Version == "" && !options.DryRun {
		options.Progress("going on with version " + options.Begun)
		result, err := u.publish(ctx, options.Begun)
		if !errors.Is(err, ErrVersionTaken) {
			return result, err
		}
	}
	for attempt := 1; ; attempt++ {
		version, err := u.version(ctx)
		if err != nil {
			return nil, err
		}
		result, err := u.publish(ctx, version)
		if errors.Is(err, ErrVersionTaken) && options.Version == "" && attempt < attempts {
			options.Progress("another publisher took the version; trying the next")
			continue
		}
		return result, err
	}
}

type publisher struct {
	clients Clients
	p       *modelpackage.Package
	options Options
	zips    []zipFile

	account string
	prefix  string   // of the component's ARN: arn:aws:greengrass:REGION:ACCOUNT:components:NAME
	taken   []string // versions that were found taken
}

// zipFile is an artifact in memory.
type zipFile struct {
	name    string
	content []byte
	sum     [sha256.Size]byte
}

// identify finds the account and the partition.
func (u *publisher) identify(ctx context.Context) error {
	who, err := u.clients.STS.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return awsaccess.Failure("find the AWS account", "sts:GetCallerIdentity", err)
	}
	parts := strings.Split(aws.ToString(who.Arn), ":")
	partition := "aws"
	if len(parts) > 1 && parts[1] != "" {
		partition = parts[1]
	}
	u.account = aws.ToString(who.Account)
	u.prefix = fmt.Sprintf("arn:%s:greengrass:%s:%s:components:%s", partition, u.options.Region, u.account, u.p.Component)
	return nil
}

// checkBucket finds what Greengrass would complain of only after the upload.
func (u *publisher) checkBucket(ctx context.Context) error {
	doing := "look at bucket " + u.options.Bucket
	out, err := u.clients.S3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &u.options.Bucket})
	if err != nil {
		err = awsaccess.Failure(doing, "s3:ListBucket on arn:aws:s3:::"+u.options.Bucket, err)
		switch {
		case errors.Is(err, awsaccess.ErrDenied):
			return nil // it may be writable nevertheless
		case errors.Is(err, awsaccess.ErrNotFound):
			return fmt.Errorf("%w: %w, or make it: aws s3 mb s3://%s --region %s", ErrBucket, err, u.options.Bucket, u.options.Region)
		case errors.Is(err, awsaccess.ErrRegion):
			return fmt.Errorf("%w: %w; Greengrass needs one in %s: aws s3 mb s3://NAME --region %s", ErrBucket, err, u.options.Region, u.options.Region)
		}
		return err
	}
	if region := aws.ToString(out.BucketRegion); region != "" && region != u.options.Region {
		return fmt.Errorf("%s: %w: it is in %s, and the artifacts of a component of %s must be in %s; make one: aws s3 mb s3://NAME --region %s",
			doing, ErrBucket, region, u.options.Region, u.options.Region, u.options.Region)
	}
	return nil
}

// publish tries one version.
func (u *publisher) publish(ctx context.Context, version string) (*Result, error) {
	folder := u.p.Component + "/" + version + "/"
	result := &Result{
		Component: u.p.Component, Version: version, ARN: u.prefix + ":versions:" + version, Region: u.options.Region,
		SHA256: u.p.Digest(), DryRun: u.options.DryRun,
	}
	content, err := os.ReadFile(u.p.Recipe)
	if err != nil {
		return nil, fmt.Errorf("publish %s: %w", u.p.Component, err)
	}
	r, err := recipe.Parse(content)
	if err == nil {
		err = r.SetVersion(version)
	}
	for _, z := range u.zips {
		uri := "s3://" + u.options.Bucket + "/" + folder + z.name
		result.Artifacts = append(result.Artifacts, uri)
		if err == nil {
			err = r.SetArtifact(uri)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("publish %s: %w", u.p.Component, err)
	}
	result.Recipe = string(r.Bytes())
	if u.options.DryRun {
		return result, nil
	}
	if err := u.options.Begin(version); err != nil {
		return nil, fmt.Errorf("publish %s: %w", u.p.Component, err)
	}
	there := true
	for i, z := range u.zips {
		u.options.Progress("uploading " + result.Artifacts[i])
		var already bool
		if already, err = u.upload(ctx, folder+z.name, z); err != nil {
			break
		}
		there = there && already
	}
	if err == nil {
		u.options.Progress("creating " + u.p.Component + " " + version)
		err = u.create(ctx, r.Bytes())
	}
	switch {
	case errors.Is(err, errExists) && there && version == u.options.Begun:
		// The run that was interrupted has created it.
	case errors.Is(err, ErrVersionTaken):
		u.taken = append(u.taken, version)
		return nil, err
	case err != nil:
		return nil, err
	}
	return result, u.wait(ctx, result)
}

// errExists is an ErrVersionTaken: Greengrass has the component already.
var errExists = fmt.Errorf("%w", ErrVersionTaken)

// upload tells whether this very artifact was there already. It never replaces the artifact
// of a version that exists: devices compare its digest with that of the day on
// which the component was created.
func (u *publisher) upload(ctx context.Context, key string, z zipFile) (there bool, err error) {
	doing := "upload to s3://" + u.options.Bucket + "/" + key
	digest := base64.StdEncoding.EncodeToString(z.sum[:])
	_, err = u.clients.S3.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &u.options.Bucket, Key: &key, Body: bytes.NewReader(z.content), ContentLength: aws.Int64(int64(len(z.content))),
		ContentType: aws.String("application/zip"), ChecksumAlgorithm: s3types.ChecksumAlgorithmSha256, ChecksumSHA256: &digest, IfNoneMatch: aws.String("*"),
		ExpectedBucketOwner: &u.account, // the model goes to no stranger
	})
	if err == nil {
		return false, nil
	}
	resource := "arn:aws:s3:::" + u.options.Bucket + "/" + u.p.Component + "/*"
	err = awsaccess.Failure(doing, "s3:PutObject on "+resource, err)
	switch {
	case errors.Is(err, awsaccess.ErrChanged):
		// There is one. It is ours where an earlier run was interrupted.
		head, headErr := u.clients.S3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &u.options.Bucket, Key: &key, ChecksumMode: s3types.ChecksumModeEnabled})
		if headErr == nil && aws.ToString(head.ChecksumSHA256) == digest {
			return true, nil
		}
		return false, fmt.Errorf("%s: %w: there is another artifact", doing, ErrVersionTaken)
	case errors.Is(err, awsaccess.ErrDenied):
		return false, fmt.Errorf("%w; in its policy: %s; the bucket must be of account %s", err, statement("s3:PutObject", resource), u.account)
	}
	return false, err
}

// statement is that of an IAM policy.
func statement(action, resource string) string {
	return fmt.Sprintf(`{"Effect": "Allow", "Action": %q, "Resource": %q}`, action, resource)
}

func (u *publisher) create(ctx context.Context, recipe []byte) error {
	doing := "create the component"
	// The same recipe has the same token: a call that is repeated because its
	// answer was lost creates nothing twice.
	sum := sha256.Sum256(recipe)
	_, err := u.clients.Greengrass.CreateComponentVersion(ctx, &greengrassv2.CreateComponentVersionInput{
		InlineRecipe: recipe, ClientToken: aws.String(hex.EncodeToString(sum[:])),
	})
	var conflict *types.ConflictException
	switch {
	case err == nil:
		return nil
	case errors.As(err, &conflict):
		return fmt.Errorf("%s: %w: %s", doing, errExists, aws.ToString(conflict.Message))
	}
	failure := awsaccess.Failure(doing, "greengrass:CreateComponentVersion on "+u.prefix+":versions:*", err)
	if isArtifactAccess(err.Error()) {
		return fmt.Errorf("%w; %s", failure, u.bucketCure())
	}
	return failure
}

// isArtifactAccess tells by Greengrass' words whether it could not read the zip.
func isArtifactAccess(message string) bool {
	message = strings.ToLower(message)
	return strings.Contains(message, "artifact") && (strings.Contains(message, "access") || strings.Contains(message, "denied")) ||
		strings.Contains(message, "s3:getobject") || strings.Contains(message, "bucket")
}

// bucketCure says what lets Greengrass read the artifact.
func (u *publisher) bucketCure() string {
	resource := "arn:aws:s3:::" + u.options.Bucket + "/" + u.p.Component + "/*"
	return "Greengrass reads the zip with the caller's rights: allow s3:GetObject in the caller's policy, " + statement("s3:GetObject", resource) +
		", and remove what forbids it from the policy of bucket " + u.options.Bucket + "; the token exchange role of the core devices needs the same"
}
