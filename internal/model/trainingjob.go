package model

import "time"

// TrainingJob is a training job that has completed. Package trainingjob
// fills it in.
type TrainingJob struct {
	Name string `json:"name"`
	ARN  string `json:"arn"`
	// Artifact is the s3:// URI of model.tar.gz.
	Artifact string `json:"artifact"`
	// Image is the URI of the training image, or the algorithm's name.
	Image string `json:"image,omitempty"`
	// Hyperparameters, but "redacted" for those whose name says that they are
	// secret: provenance goes with the model to every device.
	Hyperparameters map[string]string `json:"hyperparameters,omitempty"`
	// Channels are the s3:// URIs of the input by the channel's name.
	Channels map[string]string `json:"channels,omitempty"`
	// Instances is their number and type: "1 x ml.c5.xlarge".
	Instances string `json:"instances,omitempty"`
	// Started and Ended bound the training itself, in UTC.
	Started *time.Time `json:"started,omitempty"`
	Ended   *time.Time `json:"ended,omitempty"`
	// Metrics are the last values of those that the job reports.
	Metrics map[string]float64 `json:"metrics,omitempty"`
}
