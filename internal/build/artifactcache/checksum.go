package artifactcache

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// maxParts bounds how many parts are asked for one by one.
const maxParts = 100

// crc64NVME is the polynomial of S3's CRC64NVME, reversed.
const crc64NVME = 0x9a6c9329ac4bc9b5

// checksum is what S3 says that the whole object must give.
type checksum struct {
	name string
	new  func() hash.Hash
	want []byte
	// parts are the lengths of the parts of which each was hashed by itself, the
	// digests then together; nil where the object was hashed as a whole.
	parts []int64
}

// checksumOf returns the best checksum that S3 gives for an object, nil for
// none: the ETag of an object encrypted by KMS is no digest.
func checksumOf(ctx context.Context, api API, in *s3.HeadObjectInput, head *s3.HeadObjectOutput) *checksum {
	composite := head.ChecksumType == types.ChecksumTypeComposite
	for _, c := range []struct {
		name  string
		new   func() hash.Hash
		value *string
	}{
		{"SHA256", sha256.New, head.ChecksumSHA256},
		{"CRC64NVME", func() hash.Hash { return crc64.New(crc64.MakeTable(crc64NVME)) }, head.ChecksumCRC64NVME},
		{"SHA1", sha1.New, head.ChecksumSHA1},
		{"CRC32C", func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }, head.ChecksumCRC32C},
		{"CRC32", func() hash.Hash { return crc32.NewIEEE() }, head.ChecksumCRC32},
	} {
		value, count, parted := strings.Cut(aws.ToString(c.value), "-")
		want, err := base64.StdEncoding.DecodeString(value)
		if err != nil || len(want) != c.new().Size() {
			continue
		}
		sum := &checksum{name: c.name, new: c.new, want: want}
		if composite || parted {
			if sum.parts = partLengths(ctx, api, in, head, count); sum.parts == nil {
				continue
			}
		}
		return sum
	}
	encryption := head.ServerSideEncryption
	if (encryption != "" && encryption != types.ServerSideEncryptionAes256) || head.SSECustomerAlgorithm != nil {
		return nil
	}
	value, count, parted := strings.Cut(strings.Trim(aws.ToString(head.ETag), `"`), "-")
	want, err := hex.DecodeString(value)
	if err != nil || len(want) != md5.Size {
		return nil
	}
	sum := &checksum{name: "MD5 of the ETag", new: md5.New, want: want}
	if parted {
		if sum.parts = partLengths(ctx, api, in, head, count); sum.parts == nil {
			return nil
		}
	}
	return sum
}

// partLengths asks for the lengths of the parts of which an object was put
// together, nil where they cannot be found out.
func partLengths(ctx context.Context, api API, in *s3.HeadObjectInput, head *s3.HeadObjectOutput, count string) []int64 {
	part := func(number int32) (length int64, parts int32) {
		ask := *in
		ask.PartNumber, ask.ChecksumMode = aws.Int32(number), ""
		out, err := api.HeadObject(ctx, &ask)
		if err != nil || aws.ToString(out.ETag) != aws.ToString(head.ETag) {
			return 0, 0
		}
		return aws.ToInt64(out.ContentLength), aws.ToInt32(out.PartsCount)
	}
	size := aws.ToInt64(head.ContentLength)
	first, number := part(1)
	if n, err := strconv.Atoi(count); err == nil && n > 0 {
		number = int32(n)
	}
	if first <= 0 || number <= 0 {
		return nil
	}
	lengths := []int64{first}
	// Nearly everyone makes all parts but the last of one length.
	if rest := size - first*int64(number-1); rest > 0 && rest <= first {
		for range number - 2 {
			lengths = append(lengths, first)
		}
		if number > 1 {
			lengths = append(lengths, rest)
		}
		return lengths
	}
	if number > maxParts {
		return nil
	}
	total := first
	for n := int32(2); n <= number; n++ {
		length, _ := part(n)
		if length <= 0 {
			return nil
		}
		lengths, total = append(lengths, length), total+length
	}
	if total != size {
		return nil
	}
	return lengths
}

// measure reads an artifact to its end and returns its SHA-256 in hexadecimal,
// and whether c, which may be nil, agrees.
func (c *checksum) measure(ctx context.Context, r io.Reader) (sum string, agrees bool, err error) {
	r = &interruptible{ctx, r}
	whole := sha256.New()
	if c == nil {
		if _, err := io.Copy(whole, r); err != nil {
			return "", false, err
		}
		return hex.EncodeToString(whole.Sum(nil)), true, nil
	}
	all := c.new()
	if c.parts == nil {
		if _, err := io.Copy(io.MultiWriter(whole, all), r); err != nil {
			return "", false, err
		}
	}
	for _, length := range c.parts {
		part := c.new()
		if _, err := io.CopyN(io.MultiWriter(whole, part), r, length); err != nil {
			return "", false, fmt.Errorf("read a part of %d bytes: %w", length, err)
		}
		all.Write(part.Sum(nil))
	}
	return hex.EncodeToString(whole.Sum(nil)), string(all.Sum(nil)) == string(c.want), nil
}
