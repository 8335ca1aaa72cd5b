package publish

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/greengrassv2"
	"github.com/aws/aws-sdk-go-v2/service/greengrassv2/types"

	"github.com/brainseg/brainseg/internal/build/awsaccess"
)

// wait returns when the component is deployable, or can no longer become so.
func (u *publisher) wait(ctx context.Context, result *Result) error {
	doing := "wait for " + result.Component + " " + result.Version
	deadline := time.Now().Add(u.options.Wait)
	for {
		out, err := u.clients.Greengrass.DescribeComponent(ctx, &greengrassv2.DescribeComponentInput{Arn: &result.ARN})
		if err != nil {
			return awsaccess.Failure(doing, "greengrass:DescribeComponent on "+result.ARN, err)
		}
		state, message := types.CloudComponentState(""), ""
		if s := out.Status; s != nil {
			state, message = s.ComponentState, u.complaint(s)
		}
		u.options.Progress(fmt.Sprintf("Greengrass says %s", state))
		switch state {
		case types.CloudComponentStateDeployable:
			return nil
		case types.CloudComponentStateFailed, types.CloudComponentStateDeprecated:
			return fmt.Errorf("%s: %w: it is %s: %s", doing, ErrFailed, state, message)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %w: it was %s for %v; look again with aws greengrassv2 describe-component --arn %s", doing, ErrTimeout, state, u.options.Wait, result.ARN)
		}
		select {
		case <-time.After(u.options.Poll):
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", doing, context.Cause(ctx))
		}
	}
}

// complaint says what Greengrass does not like, with the cure where it is known.
func (u *publisher) complaint(status *types.CloudComponentStatus) string {
	texts := []string{aws.ToString(status.Message)}
	for _, key := range slices.Sorted(maps.Keys(status.Errors)) {
		texts = append(texts, key+": "+status.Errors[key])
	}
	text := strings.Join(texts, "; ")
	if len(status.Errors) > 0 && (isArtifactAccess(text) || strings.Contains(strings.ToLower(text), "s3")) {
		text += "; " + u.bucketCure()
	}
	return text
}

// NextStep says, for people, what to do with what was published.
func (r Result) NextStep() string {
	host := "console.aws.amazon.com"
	switch {
	case strings.HasPrefix(r.ARN, "arn:aws-cn:"):
		host = "console.amazonaws.cn"
	case strings.HasPrefix(r.ARN, "arn:aws-us-gov:"):
		host = "console.amazonaws-us-gov.com"
	}
	return fmt.Sprintf(`Next: in the console of AWS IoT, https://%s.%s/iot/home?region=%s
  Manage > Greengrass devices > Deployments > your deployment > Actions > Revise,
  choose %s %s under "My components", and deploy.
The token exchange role of the devices needs s3:GetObject on %s.
`, r.Region, host, r.Region, r.Component, r.Version, strings.Join(r.Artifacts, " and "))
}
