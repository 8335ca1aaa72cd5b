package invocations

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/brainseg/brainseg/internal/device/httpapi"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/problem"
	"github.com/brainseg/brainseg/internal/device/request"
)

// wayRecords is the way in of documents: they take turns with slices.
const wayRecords = "records"

// documents answers request documents with result documents: one, or one a line.
// Several come where a transform job puts as many records into a call as fit
// (MultiRecord).
func (in *invocation) documents(asLines bool) {
	offers := []string{typeJSON, typeLines}
	if asLines {
		offers = []string{typeLines, typeJSON}
	}
	kind := httpapi.Choose(in.r.Header, offers...)
	if kind == "" {
		problem.Write(in.w, notAcceptable(typeJSON+" or "+typeLines))
		return
	}
	limit := in.engine.Config().Images.MaxBytes/3*4 + 64<<10 // an image in base64, and the rest of its document
	room := limit
	if n := in.r.ContentLength; n >= 0 {
		room = min(n, limit)
	}
	hold, err := in.engine.Hold(room)
	if err != nil {
		problem.Write(in.w, err)
		return
	}
	defer hold.Release()
	lines := &lineReader{in: in.body.Reader, limit: limit}
	first, err := lines.next()
	switch {
	case errors.Is(err, io.EOF):
		problem.Write(in.w, invalid("the body is empty", nil))
		return
	case errors.Is(err, errLongLine) && asLines: // is told as that line's fault
	case err != nil:
		problem.Write(in.w, readError(err))
		return
	}
	if asLines || json.Valid(first) && lines.more() {
		in.lines(first, err, lines, kind)
		return
	}
	rest, err := io.ReadAll(io.LimitReader(in.body, limit-int64(len(first))+1))
	if err != nil {
		problem.Write(in.w, readError(err))
		return
	}
	if int64(len(first)+len(rest)) > limit {
		problem.Write(in.w, tooLarge(limit, nil))
		return
	}
	in.document(append(append(first, '\n'), rest...), kind)
}

// document answers one document.
func (in *invocation) document(document []byte, kind string) {
	answers := make(chan request.Result, 1)
	in.submit(in.r.Context(), document, func(r request.Result) { answers <- r })
	var result request.Result
	select {
	case result = <-answers:
	case <-in.r.Context().Done():
		return
	}
	encoded, err := result.Encode(0)
	if err != nil {
		problem.Write(in.w, err)
		return
	}
	status := http.StatusOK
	if result.Error != nil && (!in.options.Batch || transient(result.Error.Code)) {
		status = problem.Status(result.Error.Code)
	}
	in.w.Header().Set("Content-Type", kind)
	in.w.WriteHeader(status)
	in.w.Write(encoded)
}

// lines answers each line with a line, in order, as many at work at the same time
// as keep the workers busy. The answers lie on disk until the last has come, for
// the service does not read before it has sent everything. A line that is no
// request is answered as failed, and keeps no other from its answer.
func (in *invocation) lines(first []byte, fault error, lines *lineReader, kind string) {
	folder, err := in.options.Spool.Take()
	if err != nil {
		problem.Write(in.w, noDisk(err))
		return
	}
	defer os.RemoveAll(folder)
	answers, err := os.OpenFile(filepath.Join(folder, "answers"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		problem.Write(in.w, noDisk(err))
		return
	}
	defer answers.Close()
	out := bufio.NewWriter(answers)
	if err := in.answerLines(first, fault, lines, out); err != nil {
		problem.Write(in.w, err)
		return
	}
	size, err := answers.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = answers.Seek(0, io.SeekStart)
	}
	if err != nil {
		problem.Write(in.w, noDisk(err))
		return
	}
	in.w.Header().Set("Content-Type", kind)
	in.w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	io.Copy(in.w, answers) // an error is the client's, who went away
}

// maxAnswers bounds the answers to one call, on disk.
const maxAnswers = 1 << 30

func (in *invocation) answerLines(line []byte, fault error, lines *lineReader, out *bufio.Writer) error {
	ctx := in.r.Context()
	var waiting []chan request.Result // of the records in work, the oldest first
	written := 0
	room := int64(maxAnswers)
	defer func() {
		for _, results := range waiting {
			<-results // each is answered; its place is free again
		}
	}()
	write := func() error {
		result := <-waiting[0]
		waiting = waiting[1:]
		encoded, err := result.Encode(0)
		if err != nil {
			return err
		}
		if room -= int64(len(encoded)) + 1; room < 0 {
			return request.NewError(request.CodeResultTooLarge, "the answers to this call have more than 1 GiB in all: send fewer lines, or ask for no masks in them", nil)
		}
		if written > 0 {
			out.WriteByte('\n') // between lines: whoever puts answers together adds the last
		}
		written++
		if _, err := out.Write(encoded); err != nil {
			return noDisk(err)
		}
		return nil
	}
	for ; !errors.Is(fault, io.EOF); line, fault = lines.next() {
		if fault != nil && !errors.Is(fault, errLongLine) {
			return readError(fault)
		}
		for len(waiting) >= cap(in.records) {
			if err := write(); err != nil {
				return err
			}
		}
		results := make(chan request.Result, 1)
		if fault != nil {
			waiting = append(waiting, results)
			results <- request.Failed("", request.NewError(request.CodeImageTooLarge, fmt.Sprintf("the line has more than %d bytes", lines.limit), nil))
			continue
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		select {
		case in.records <- struct{}{}:
		case <-ctx.Done():
			return readError(ctx.Err())
		}
		waiting = append(waiting, results)
		in.submit(ctx, line, func(r request.Result) { <-in.records; results <- r })
	}
	for len(waiting) > 0 {
		if err := write(); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return noDisk(err)
	}
	return nil
}

// submit has a document carried out. Masks that are sent nowhere come in the
// result.
func (in *invocation) submit(ctx context.Context, document []byte, done func(request.Result)) {
	r, err := request.Parse(document)
	switch {
	case err != nil:
	case r.Scan != nil || r.Cancel:
		err = invalid("a scan comes as the body here, and is called off by ending the call", nil)
	case !r.Classic2018 && r.Output.To == "":
		r.Output.Discard = true
	}
	if err != nil {
		in.engine.Refuse(err)
		result := request.Failed(r.ID, err)
		result.Attempt = 1
		done(result)
		return
	}
	if r.ID == "" {
		r.ID = in.id()
	}
	r.Acknowledge = false // a call has one answer
	in.engine.Submit(ctx, job.Requester{Way: wayRecords}, r, func(o job.Outcome) {
		o.Claim.Release()
		done(withMask(o))
	})
}

var errLongLine = errors.New("the line is too long")

// lineReader reads lines of at most limit bytes.
type lineReader struct {
	in    *bufio.Reader
	limit int64
}

// next returns the next line without its end, which the caller may keep. The error
// of a line that is too long is errLongLine, and the line is read over.
func (l *lineReader) next() ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := l.in.ReadSlice('\n')
		if long = long || int64(len(line)+len(part)) > l.limit; long {
			line = nil
		} else {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && (len(line) > 0 || long):
		case err != nil:
			return nil, err
		}
		if long {
			return nil, errLongLine
		}
		return bytes.TrimRight(line, "\r\n"), nil
	}
}

// more tells whether anything but white space follows.
func (l *lineReader) more() bool {
	for {
		c, err := l.in.ReadByte()
		if err != nil {
			return false
		}
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return l.in.UnreadByte() == nil
		}
	}
}
