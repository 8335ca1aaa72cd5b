// Package hosting writes the documents by which Amazon SageMaker hosts a model in
// brainseg's container: as an endpoint, real-time or asynchronous, and as a
// transform job.
//
// It calls nothing of AWS: a document is what boto3 and the command line of AWS
// take, and a template what CloudFormation and CDK do. Package cli calls it.
package hosting

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/brainseg/brainseg/internal/model"
)

// Content is what the files of a transform job hold.
type Content string

// The contents.
const (
	Slices   Content = "slices"   // PNG and JPEG, one a file
	Scans    Content = "scans"    // NIfTI and zipped DICOM, one a file
	Requests Content = "requests" // request documents, one a line
)

// Options are the settings of Documents.
type Options struct {
	// Name of the model, the endpoint and the job; default that of the model with
	// its version, as NameOf makes it.
	Name string
	// Image is the container in a registry of the region; required.
	Image string
	// Role is the ARN of the role that the container has; required.
	Role string
	// ModelData is the s3:// URI of the model's archive; required.
	ModelData string
	// InstanceType and Instances are for endpoint and job. Defaults ml.c7i.xlarge
	// and 1.
	InstanceType string
	Instances    int
	// Async is the s3:// prefix for the answers of an asynchronous endpoint.
	// Default: the endpoint answers itself.
	Async string
	// Input and Output are the s3:// prefixes of a transform job. Default: none,
	// and no job.
	Input, Output string
	// Content of the job's files; default Slices.
	Content Content
	// Accept is the type of the job's answers; default that which the content has
	// by itself: masks, label maps, result documents.
	Accept string
	// Buckets that request documents may name. Default none: then the container is
	// cut off from the network.
	Buckets []string
}

// Document is the input of one operation, or a template.
type Document struct {
	// Operation is the API's, such as CreateModel; "" for a template.
	Operation string
	// File is the document's name.
	File string
	Body map[string]any
}

// JSON is the document's text.
func (d Document) JSON() ([]byte, error) {
	text, err := json.MarshalIndent(d.Body, "", "  ")
	return append(text, '\n'), err
}

// ErrOptions is wrapped by the errors of Documents: a setting is missing or wrong.
var ErrOptions = errors.New("the model cannot be hosted so")

// Patterns of the API.
var (
	namePattern = regexp.MustCompile(`^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$`)
	rolePattern = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@/-]+$`)
	uriPattern  = regexp.MustCompile(`^s3://[^/]+/.+$`)
	other       = regexp.MustCompile(`[^a-zA-Z0-9]+`)
)

// maxEnvironment is the longest value that a variable of the container may have.
const maxEnvironment = 1024

// NameOf is the name of a model at SageMaker.
func NameOf(m *model.Manifest) string {
	name := other.ReplaceAllString(m.Name+"-"+m.Version, "-")
	return strings.Trim(name[:min(len(name), 63)], "-")
}

func (o Options) check() error {
	for _, s := range []struct {
		ok   bool
		text string
	}{
		{o.Image != "" && !strings.ContainsAny(o.Image, " \t\n"), "give the image as it is called in ECR"},
		{rolePattern.MatchString(o.Role), fmt.Sprintf("the role %q must be an ARN, arn:aws:iam::ACCOUNT:role/NAME", o.Role)},
		{namePattern.MatchString(o.Name), fmt.Sprintf("the name %q must have 1 to 63 letters, digits and hyphens, and begin and end with none", o.Name)},
		{uriPattern.MatchString(o.ModelData) && strings.HasSuffix(o.ModelData, ".tar.gz"), fmt.Sprintf("the model's archive %q must be s3://bucket/key and end in .tar.gz", o.ModelData)},
		{o.Async == "" || uriPattern.MatchString(o.Async), fmt.Sprintf("%q must be s3://bucket/prefix", o.Async)},
		{(o.Input == "") == (o.Output == ""), "a transform job needs a prefix to read from and one to write to"},
		{o.Input == "" || uriPattern.MatchString(o.Input) && uriPattern.MatchString(o.Output), fmt.Sprintf("%q and %q must be s3://bucket/prefix", o.Input, o.Output)},
		{o.Content == Slices || o.Content == Scans || o.Content == Requests, fmt.Sprintf("the content %q must be %s, %s or %s", o.Content, Slices, Scans, Requests)},
		{o.Instances > 0, "at least one instance is needed"},
	} {
		if !s.ok {
			return fmt.Errorf("%w: %s", ErrOptions, s.text)
		}
	}
	return nil
}

// Documents returns what creates the model, the endpoint and, where there is input
// for it, the transform job, in the order in which they are to be sent, and a
// template of model and endpoint. The error wraps ErrOptions.
func Documents(o Options) ([]Document, error) {
	if o.InstanceType == "" {
		o.InstanceType = "ml.c7i.xlarge"
	}
	if o.Instances == 0 {
		o.Instances = 1
	}
	if o.Content == "" {
		o.Content = Slices
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	create, err := o.model()
	if err != nil {
		return nil, err
	}
	list := []Document{
		{"CreateModel", "create-model.json", create},
		{"CreateEndpointConfig", "create-endpoint-config.json", o.endpointConfig()},
		{"CreateEndpoint", "create-endpoint.json", map[string]any{"EndpointName": o.Name, "EndpointConfigName": o.Name}},
		{"", "endpoint.template.json", template(create, o.endpointConfig(), o.Name)},
	}
	if o.Input != "" {
		list = append(list, Document{"CreateTransformJob", "create-transform-job.json", o.transformJob()})
	}
	return list, nil
}

// Write writes the documents to files in the folder dir. The error wraps ErrOptions
// where a setting is missing or wrong.
func Write(dir string, o Options) error {
	documents, err := Documents(o)
	if err != nil {
		return err
	}
	for _, d := range documents {
		text, err := d.JSON()
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, d.File), text, 0o640)
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", d.File, err)
		}
	}
	return nil
}

func (o Options) model() (map[string]any, error) {
	container := map[string]any{"Image": o.Image, "Mode": "SingleModel", "ModelDataUrl": o.ModelData}
	if len(o.Buckets) > 0 {
		configuration, err := json.Marshal(map[string]any{"s3": map[string]any{"buckets": o.Buckets}})
		if err != nil {
			return nil, err
		}
		if len(configuration) > maxEnvironment {
			return nil, fmt.Errorf("%w: these are too many buckets for a variable of the container; name * to leave it to the role", ErrOptions)
		}
		container["Environment"] = map[string]string{"BRAINSEG_CONFIGURATION": string(configuration)}
	}
	return map[string]any{
		"ModelName": o.Name, "PrimaryContainer": container, "ExecutionRoleArn": o.Role,
		"EnableNetworkIsolation": len(o.Buckets) == 0,
	}, nil
}

func (o Options) endpointConfig() map[string]any {
	body := map[string]any{"EndpointConfigName": o.Name, "ProductionVariants": []any{map[string]any{
		"VariantName": "all", "ModelName": o.Name, "InstanceType": o.InstanceType, "InitialInstanceCount": o.Instances,
	}}}
	if o.Async != "" {
		prefix := strings.TrimSuffix(o.Async, "/")
		body["AsyncInferenceConfig"] = map[string]any{
			// One scan in work and one that is being fetched.
			"ClientConfig": map[string]any{"MaxConcurrentInvocationsPerInstance": 2},
			"OutputConfig": map[string]any{"S3OutputPath": prefix + "/answers", "S3FailurePath": prefix + "/failures"},
		}
	}
	return body
}

// template has the resources of an endpoint. What is replaced when it changes has no
// name of its own there.
func template(create, config map[string]any, name string) map[string]any {
	variant := maps.Clone(config["ProductionVariants"].([]any)[0].(map[string]any))
	variant["ModelName"] = attribute("Model", "ModelName")
	variant["InitialVariantWeight"] = 1
	create, config = maps.Clone(create), maps.Clone(config)
	delete(create, "ModelName")
	delete(config, "EndpointConfigName")
	config["ProductionVariants"] = []any{variant}
	resource := func(kind string, properties map[string]any) map[string]any {
		return map[string]any{"Type": "AWS::SageMaker::" + kind, "Properties": properties}
	}
	return map[string]any{
		"AWSTemplateFormatVersion": "2010-09-09", "Description": "An endpoint of brainseg. Not a medical device.",
		"Resources": map[string]any{
			"Model":          resource("Model", create),
			"EndpointConfig": resource("EndpointConfig", config),
			"Endpoint": resource("Endpoint", map[string]any{
				"EndpointName": name, "EndpointConfigName": attribute("EndpointConfig", "EndpointConfigName"),
			}),
		},
	}
}

func attribute(resource, name string) map[string]any {
	return map[string]any{"Fn::GetAtt": []string{resource, name}}
}

func (o Options) transformJob() map[string]any {
	input := map[string]any{"DataSource": map[string]any{"S3DataSource": map[string]any{"S3DataType": "S3Prefix", "S3Uri": o.Input}}}
	output := map[string]any{"S3OutputPath": o.Output}
	body := map[string]any{
		"TransformJobName": o.Name, "ModelName": o.Name, "TransformInput": input, "TransformOutput": output,
		"TransformResources": map[string]any{"InstanceType": o.InstanceType, "InstanceCount": o.Instances},
	}
	accept := ""
	switch o.Content {
	case Slices: // how many at a time is the container's to say
		input["ContentType"], input["SplitType"], accept = "application/x-image", "None", "image/png"
	case Scans:
		input["ContentType"], input["SplitType"], accept = "application/octet-stream", "None", "application/gzip"
		// The largest payload that there can be; all processors work on one scan.
		body["MaxConcurrentTransforms"], body["MaxPayloadInMB"] = 1, 100
		body["ModelClientConfig"] = map[string]any{"InvocationsTimeoutInSeconds": 3600, "InvocationsMaxRetries": 1}
	case Requests:
		input["ContentType"], input["SplitType"], accept = "application/jsonlines", "Line", "application/jsonlines"
		body["BatchStrategy"], output["AssembleWith"] = "MultiRecord", "Line"
	}
	if output["Accept"] = o.Accept; o.Accept == "" {
		output["Accept"] = accept
	}
	return body
}
