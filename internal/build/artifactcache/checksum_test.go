package artifactcache

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/brainseg/brainseg/internal/dev/awstest"
)

func TestEveryChecksumThatS3KeepsIsCompared(t *testing.T) {
	content := randomBytes(11, 300_000)
	_, api := bucket(t, content)
	for algorithm, want := range map[types.ChecksumAlgorithm]string{
		types.ChecksumAlgorithmSha256: "SHA256", types.ChecksumAlgorithmSha1: "SHA1", types.ChecksumAlgorithmCrc32: "CRC32",
		types.ChecksumAlgorithmCrc32c: "CRC32C", types.ChecksumAlgorithmCrc64nvme: "CRC64NVME",
	} {
		t.Run(want, func(t *testing.T) {
			put(t, api, content, func(in *s3.PutObjectInput) { in.ChecksumAlgorithm = algorithm })
			a, err := open(t).FromS3(t.Context(), api, artifactURI, Options{})
			if err != nil {
				t.Fatal(err)
			}
			checkArtifact(t, a, content)
			if a.CheckedBy != want {
				t.Errorf("checked by %s", a.CheckedBy)
			}
		})
	}
	for algorithm, want := range map[types.ChecksumAlgorithm]string{"": "MD5 of the ETag", types.ChecksumAlgorithmSha256: "SHA256", types.ChecksumAlgorithmCrc32c: "CRC32C"} {
		t.Run("in parts "+want, func(t *testing.T) {
			content := randomBytes(12, 5<<20+5<<20+1234)
			putInParts(t, api, content, algorithm)
			a, err := open(t).FromS3(t.Context(), api, artifactURI, Options{})
			if err != nil {
				t.Fatal(err)
			}
			checkArtifact(t, a, content)
			if !strings.HasPrefix(a.CheckedBy, want) && a.CheckedBy != "CRC64NVME" {
				t.Errorf("checked by %s", a.CheckedBy)
			}
			t.Logf("checked by %s", a.CheckedBy)
		})
	}
}

// putInParts uploads in parts of 5 MiB.
func putInParts(t *testing.T, api *s3.Client, content []byte, algorithm types.ChecksumAlgorithm) {
	t.Helper()
	key := aws.String("job/output/model.tar.gz")
	begun, err := api.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String("models"), Key: key, ChecksumAlgorithm: algorithm},
		func(o *s3.Options) { o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired })
	if err != nil {
		t.Fatal(err)
	}
	var parts []types.CompletedPart
	for number := int32(1); len(content) > 0; number++ {
		n := min(5<<20, len(content))
		out, err := api.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: aws.String("models"), Key: key, UploadId: begun.UploadId,
			PartNumber: aws.Int32(number), Body: bytes.NewReader(content[:n]), ChecksumAlgorithm: algorithm},
			func(o *s3.Options) { o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired })
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, types.CompletedPart{ETag: out.ETag, PartNumber: aws.Int32(number), ChecksumSHA256: out.ChecksumSHA256, ChecksumCRC32C: out.ChecksumCRC32C})
		content = content[n:]
	}
	_, err = api.CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{Bucket: aws.String("models"), Key: key, UploadId: begun.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
	if err != nil {
		t.Fatal(err)
	}
}

// old is a bucket of the time before S3 kept checksums.
type old struct{ *s3.Client }

func (o old) HeadObject(ctx context.Context, in *s3.HeadObjectInput, options ...func(*s3.Options)) (*s3.HeadObjectOutput, error) {
	without := *in
	without.ChecksumMode = ""
	return o.Client.HeadObject(ctx, &without, options...)
}

func TestTheETagIsComparedWhereThereIsNoChecksum(t *testing.T) {
	content := randomBytes(15, 12<<20+99)
	proxy, api := bucket(t, content)
	for name, upload := range map[string]func(){
		"whole":    func() { put(t, api, content) },
		"in parts": func() { putInParts(t, api, content, "") },
	} {
		t.Run(name, func(t *testing.T) {
			upload()
			c := open(t)
			proxy.Set(awstest.Fault{FlipEvery: 10_000_000})
			if _, err := c.FromS3(t.Context(), old{api}, artifactURI, Options{}); !errors.Is(err, ErrChecksum) {
				t.Errorf("error %v, want ErrChecksum", err)
			}
			checkNothingUsable(t, c)
			proxy.Set(awstest.Fault{})
			a, err := c.FromS3(t.Context(), old{api}, artifactURI, Options{})
			if err != nil {
				t.Fatal(err)
			}
			checkArtifact(t, a, content)
			if a.CheckedBy != "MD5 of the ETag" {
				t.Errorf("checked by %s", a.CheckedBy)
			}
		})
	}
}
