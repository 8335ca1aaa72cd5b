package awserror

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

func TestTheCodeSaysTheKindElseTheStatusElseWhoseFaultItIs(t *testing.T) {
	answer := func(status int, err error) error {
		return fmt.Errorf("call: %w", &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: err}})
	}
	code := func(code string, fault smithy.ErrorFault) error {
		return &smithy.GenericAPIError{Code: code, Fault: fault}
	}
	tests := []struct {
		name string
		err  error
		want Kind
	}{
		{"code before status", answer(403, code("NoSuchKey", smithy.FaultClient)), NotFound},
		{"status of an unknown code", answer(404, code("Gone", smithy.FaultClient)), NotFound},
		{"status without a code", answer(307, errors.New("moved")), Region},
		{"unknown code of the caller's fault", answer(400, code("Odd", smithy.FaultClient)), Refused},
		{"unknown code of AWS' fault", answer(503, code("Odd", smithy.FaultServer)), Unavailable},
		{"status of a fault", answer(502, errors.New("bad gateway")), Unavailable},
		{"no answer", errors.New("connection refused"), Unavailable},
		{"an archived object", code("InvalidObjectState", smithy.FaultClient), Denied},
		{"too fast", answer(503, code("SlowDown", smithy.FaultServer)), Throttled},
	}
	for _, tt := range tests {
		if got := KindOf(tt.err); got != tt.want {
			t.Errorf("%s: kind %d, want %d", tt.name, got, tt.want)
		}
	}
}
