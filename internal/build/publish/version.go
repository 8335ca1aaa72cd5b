package publish

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/greengrassv2"

	"github.com/brainseg/brainseg/internal/build/awsaccess"
)

// release is MAJOR.MINOR.PATCH; what follows does not count.
type release [3]int

var releasePattern = regexp.MustCompile(`^(\d{1,9})\.(\d{1,9})\.(\d{1,9})([-+].*)?$`)

func parseRelease(version string) (release, bool) {
	found := releasePattern.FindStringSubmatch(version)
	if found == nil {
		return release{}, false
	}
	var r release
	for i := range r {
		r[i], _ = strconv.Atoi(found[i+1]) // digits, few
	}
	return r, true
}

// version returns the one to publish.
func (u *publisher) version(ctx context.Context) (string, error) {
	if u.options.Version != "" {
		return u.options.Version, nil
	}
	versions, err := u.versions(ctx)
	if err != nil {
		return "", err
	}
	return next(append(versions, u.taken...)), nil
}

// next is the highest of the versions with its last number one higher.
func next(versions []string) string {
	var highest release
	found := false
	for _, v := range versions {
		if r, ok := parseRelease(v); ok && (!found || slices.Compare(r[:], highest[:]) > 0) {
			highest, found = r, true
		}
	}
	if !found {
		return "1.0.0"
	}
	return fmt.Sprintf("%d.%d.%d", highest[0], highest[1], highest[2]+1)
}

// versions lists those of the component that exist.
func (u *publisher) versions(ctx context.Context) ([]string, error) {
	var versions []string
	pages := greengrassv2.NewListComponentVersionsPaginator(u.clients.Greengrass, &greengrassv2.ListComponentVersionsInput{Arn: &u.prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			err = awsaccess.Failure("list the versions of "+u.p.Component, "greengrass:ListComponentVersions on "+u.prefix, err)
			if errors.Is(err, awsaccess.ErrNotFound) {
				return versions, nil
			}
			return nil, err
		}
		for _, v := range page.ComponentVersions {
			versions = append(versions, aws.ToString(v.ComponentVersion))
		}
	}
	return versions, nil
}
