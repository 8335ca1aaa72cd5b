package seg_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom"
	"github.com/brainseg/brainseg/internal/volume/dicom/seg"
)

// instanceOf is the UID in the meta header.
func instanceOf(t *testing.T, file []byte) string {
	t.Helper()
	at := bytes.Index(file, []byte{2, 0, 3, 0, 'U', 'I'})
	if at < 0 {
		t.Fatal("no meta header")
	}
	length := int(binary.LittleEndian.Uint16(file[at+6:]))
	return strings.TrimRight(string(file[at+8:at+8+length]), "\x00")
}

func TestTheSameScanAndModelGiveTheSameBytesAndAnythingElseAnotherUID(t *testing.T) {
	labels, origin := segmented(t, "d-sagittal")
	again, originAgain := segmented(t, "d-sagittal")
	first := written(t, labels, origin, options)
	if !bytes.Equal(first, written(t, again, originAgain, options)) {
		t.Error("the same scan and model gave other bytes")
	}
	otherLabel := &volume.Labels{Grid: labels.Grid, Values: slices.Clone(labels.Values)}
	otherLabel.Values[100] ^= 1
	otherModel, otherProgram, deidentified := options, options, options
	otherModel.ModelVersion, otherProgram.Version, deidentified.Deidentify = "1.0.1", "2.0.1", true
	elsewhere, originElsewhere := segmented(t, "d-rle")
	files := [][]byte{
		first, written(t, otherLabel, origin, options), written(t, labels, origin, otherModel), written(t, labels, origin, otherProgram),
		written(t, labels, origin, deidentified), written(t, elsewhere, originElsewhere, options),
	}
	var uids []string
	for _, file := range files {
		uid := instanceOf(t, file)
		if !regexp.MustCompile(`^2\.25\.[1-9][0-9]{0,38}$`).MatchString(uid) || slices.Contains(uids, uid) {
			t.Errorf("the UID %q is none, or one of %q", uid, uids)
		}
		uids = append(uids, uid)
	}
}

func TestEachVoxelIsOneBitAndFramesFollowEachOtherWithinAByte(t *testing.T) {
	labels, origin := segmented(t, "d-8bit-odd") // frames of 195 bits
	file := written(t, labels, origin, options)
	voxels := len(labels.Values)
	length := (3*voxels + 7) / 8
	length += length % 2
	pixels := file[len(file)-length:]
	for i := range 3 * voxels {
		bit := pixels[i/8]>>(i%8)&1 == 1
		if bit != (labels.Values[i%voxels] == uint8(i/voxels+1)) {
			t.Fatalf("bit %d is %v", i, bit)
		}
	}
}

func TestASeriesThatCannotBeReferredToIsRefusedWithTheReason(t *testing.T) {
	labels, origin := segmented(t, "d-sagittal")
	for what, c := range map[string]struct {
		change func(o *dicom.Origin)
		code   volume.Code
		says   string
	}{
		"no study":    {func(o *dicom.Origin) { o.StudyUID = "" }, volume.CodeBadHeader, "StudyInstanceUID"},
		"no series":   {func(o *dicom.Origin) { o.SeriesUID = "QXMARK" }, volume.CodeBadHeader, "SeriesInstanceUID"},
		"no instance": {func(o *dicom.Origin) { o.Slices[3].InstanceUID = "" }, volume.CodeBadHeader, "SOPInstanceUID"},
		"no class":    {func(o *dicom.Origin) { o.Slices[3].ClassUID = "" }, volume.CodeBadHeader, "SOPClassUID"},
		"one UID for two images": {func(o *dicom.Origin) { o.Slices[3].InstanceUID = o.Slices[4].InstanceUID }, volume.CodeBadHeader,
			"two images have the same"},
		"a bad frame of reference": {func(o *dicom.Origin) { o.FrameOfReferenceUID = strings.Repeat("1", 65) }, volume.CodeBadHeader, "FrameOfReferenceUID"},
	} {
		changed := *origin
		changed.Slices = slices.Clone(origin.Slices)
		c.change(&changed)
		var r *volume.Refusal
		err := seg.Write(io.Discard, labels, &changed, options)
		if !errors.As(err, &r) || r.Code != c.code || !strings.Contains(r.Reason, c.says) || r.Cure == "" || strings.Contains(r.Error(), "QXMARK") {
			t.Errorf("%s: %v", what, err)
		}
	}
	var r *volume.Refusal
	if err := seg.Check(nil); !errors.As(err, &r) || r.Code != volume.CodeNoSeries {
		t.Errorf("no series: %v", err)
	}
}

func TestImagesWithoutFrameOfReferenceGetOneThatAllSegmentationsOfTheSeriesShare(t *testing.T) {
	labels, origin := segmented(t, "d-sagittal")
	bare := *origin
	bare.FrameOfReferenceUID = ""
	other := options
	other.ModelVersion = "1.0.1"
	var uids []string
	for _, file := range [][]byte{written(t, labels, &bare, options), written(t, labels, &bare, other)} {
		at := bytes.Index(file, []byte{0x20, 0, 0x52, 0, 'U', 'I'})
		length := int(binary.LittleEndian.Uint16(file[at+6:]))
		uids = append(uids, string(file[at+8:at+8+length]))
	}
	if !strings.HasPrefix(uids[0], "2.25.") || uids[0] != uids[1] {
		t.Errorf("frames of reference %q", uids)
	}
}

func TestLabelsAndClassesThatDoNotFitAreAnError(t *testing.T) {
	labels, origin := segmented(t, "d-sagittal")
	cut := &volume.Labels{Grid: labels.Grid, Values: labels.Values[:100]}
	short := *labels
	short.Size[2]--
	short.Values = short.Values[:short.Voxels()]
	stray := &volume.Labels{Grid: labels.Grid, Values: slices.Clone(labels.Values)}
	stray.Values[7] = 4
	class := func(name, colour string) seg.Options {
		o := options
		o.Classes = []seg.Class{{Value: 1, Name: name, Colour: colour}}
		return o
	}
	for what, c := range map[string]struct {
		labels *volume.Labels
		opts   seg.Options
		says   string
	}{
		"too few values":   {cut, options, "for a series of"},
		"too few slices":   {&short, options, "for a series of"},
		"a stray label":    {stray, options, "the label 4 is of no class"},
		"an unknown class": {labels, class("skull", "#ffffff"), `"skull"`},
		"no colour":        {labels, class("csf", "blue"), `"blue"`},
		"no classes":       {labels, seg.Options{}, "no classes"},
	} {
		if err := seg.Write(io.Discard, c.labels, origin, c.opts); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// full takes so many bytes and then fails.
type full struct{ left int }

var errFull = errors.New("the disk is full")

func (w *full) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestAnErrorOfTheWriterIsHandedOn(t *testing.T) {
	labels, origin := segmented(t, "d-sagittal")
	size := len(written(t, labels, origin, options))
	for _, left := range []int{0, 100, size / 2, size - 1} {
		if err := seg.Write(&full{left: left}, labels, origin, options); !errors.Is(err, errFull) {
			t.Errorf("after %d bytes: %v", left, err)
		}
	}
	if err := seg.Write(&full{left: size}, labels, origin, options); err != nil {
		t.Error(err)
	}
}

func TestWritingNeedsNoMemoryForTheVolume(t *testing.T) {
	_, origin := segmented(t, "d-sagittal")
	labels := &volume.Labels{Grid: volume.Grid{Size: [3]int{512, 512, len(origin.Slices)}, Affine: volume.FromColumns(volume.Vector{1}, volume.Vector{0, 1}, volume.Vector{0, 0, 1}, volume.Vector{})}}
	labels.Values = make([]uint8, labels.Voxels())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := seg.Write(io.Discard, labels, origin, options); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	// Two buffers of 64 KiB and what is short-lived; a packed segment alone would
	// take 288 KiB, and the object 864 KiB.
	if used := after.TotalAlloc - before.TotalAlloc; used > 500<<10 {
		t.Errorf("%d bytes were allocated for %d voxels", used, len(labels.Values))
	}
}
