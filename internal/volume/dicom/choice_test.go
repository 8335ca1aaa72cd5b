package dicom_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom"
)

func TestImagesThatAreNoOneVolumeAreRefusedWithTheReason(t *testing.T) {
	twice := append(stack(4), slice(2).with(image{sopInstance: "1.2.3.99", pixelData: make([]uint16, wide*high)}))
	tilted := stack(4)
	for k := range tilted {
		tilted[k][position] = fmt.Sprintf(`-10\-20\%d`, 5*k)
	}
	tilted[2][position] = `-10\-18\10`
	for _, test := range []struct {
		name string
		list []image
		code volume.Code
		word string
	}{
		{"no orientation", all(stack(4), image{orientation: nil}), volume.CodeNoOrientation, "ImageOrientationPatient"},
		{"an empty orientation", all(stack(4), image{orientation: ""}), volume.CodeNoOrientation, "ImageOrientationPatient"},
		{"an orientation of zeros", all(stack(4), image{orientation: `0\0\0\0\0\0`}), volume.CodeBadGeometry, "ImageOrientationPatient"},
		{"one direction twice", all(stack(4), image{orientation: `1\0\0\1\0\0`}), volume.CodeBadGeometry, "ImageOrientationPatient"},
		{"half an orientation", all(stack(4), image{orientation: `1\0\0`}), volume.CodeBadHeader, "ImageOrientationPatient"},
		{"no position", all(stack(4), image{position: nil}), volume.CodeNoOrientation, "ImagePositionPatient"},
		{"no position in one", append(stack(3), slice(3).with(image{position: nil})), volume.CodeNoOrientation, "IM3"},
		{"no spacing", all(stack(4), image{spacing: nil}), volume.CodeNoOrientation, "PixelSpacing"},
		{"a spacing of zero", all(stack(4), image{spacing: `0\2`}), volume.CodeBadGeometry, "PixelSpacing"},
		{"a negative spacing", all(stack(4), image{spacing: `3\-2`}), volume.CodeBadGeometry, "PixelSpacing"},
		{"a spacing of kilometres", all(stack(4), image{spacing: `1e6\1e6`}), volume.CodeBadGeometry, "PixelSpacing"},
		{"an image of a millimetre", all([]image{slice(0), slice(0).with(image{sopInstance: "1.2.3.98", position: `-10\-20\0.5`})}, image{spacing: `0.1\0.1`}), volume.CodeBadGeometry, "PixelSpacing"},
		{"slices kilometres apart", []image{slice(0), slice(1).with(image{position: `-10\-20\1e6`})}, volume.CodeBadGeometry, "ImagePositionPatient"},
		{"no rows", all(stack(4), image{rows: nil}), volume.CodeBadHeader, "Rows"},
		{"no columns", all(stack(4), image{columns: 0}), volume.CodeBadHeader, "Columns"},
		{"sides whose product overflows", all(stack(4), image{rows: raw{"UL", []byte{255, 255, 255, 255}}, columns: raw{"UL", []byte{255, 255, 255, 255}}, spacing: `1e-8\1e-8`}), volume.CodeTooLarge, "too large"},
		{"other spacing in one", append(stack(3), slice(3).with(image{spacing: `3\2.1`})), volume.CodeMixedSeries, "PixelSpacing"},
		{"other size in one", append(stack(3), slice(3).with(image{rows: 2})), volume.CodeMixedSeries, "Rows"},
		{"other orientation in one", append(stack(3), slice(3).with(image{orientation: `1\0\0\0\0\1`})), volume.CodeMixedSeries, "orientation"},
		{"one turned over", append(stack(3), slice(3).with(image{orientation: `0\1\0\1\0\0`})), volume.CodeMixedSeries, "orientation"},
		{"other frame of reference", append(stack(3), slice(3).with(image{reference: "1.2.8"})), volume.CodeMixedSeries, "FrameOfReference"},
		{"a gap", slices.Delete(stack(8), 3, 4), volume.CodeMissingSlices, "gap"},
		{"a gap of two", slices.Delete(stack(8), 3, 5), volume.CodeMissingSlices, "gap"},
		{"two gaps", slices.Delete(slices.Delete(stack(9), 6, 7), 2, 3), volume.CodeMissingSlices, "gap"},
		{"spacing that changes", []image{slice(0), slice(1), slice(2), slice(4), slice(6)}, volume.CodeMissingSlices, "spacing"},
		{"two images at one place", twice, volume.CodeAmbiguousVolume, "duplicate"},
		{"a slice that is shifted in its plane", tilted, volume.CodeBadGeometry, "position"},
		{"all at one place", all(stack(4), image{position: `0\0\0`}), volume.CodeAmbiguousVolume, "same position"},
		{"one slice", stack(1), volume.CodeNotAVolume, "one slice"},
		{"colour", all(stack(4), image{samples: 3, photometric: "RGB"}), volume.CodeColour, "colour"},
		{"a palette", all(stack(4), image{photometric: "PALETTE COLOR"}), volume.CodeColour, "PALETTE"},
		{"luma and chroma", all(stack(4), image{samples: 3, photometric: "YBR_FULL"}), volume.CodeColour, "YBR_FULL"},
		{"a mosaic", all(stack(4), image{imageType: `ORIGINAL\PRIMARY\M\ND\MOSAIC`}), volume.CodeMosaic, "mosaic"},
		{"no pixels in one", append(stack(3), slice(3).with(image{pixelData: nil})), volume.CodeNoImage, "pixel data"},
		{"no pixels at all", all(stack(4), image{pixelData: nil}), volume.CodeNoImage, "pixel data"},
		{"empty pixels", all(stack(4), image{pixelData: []uint16{}}), volume.CodeNoImage, "pixel data"},
		{"pixels too few", append(stack(3), slice(3).with(image{pixelData: make([]uint16, wide*high-1)})), volume.CodeDamaged, "too short"},
		{"pixels for two", append(stack(3), slice(3).with(image{pixelData: make([]uint16, 2*wide*high)})), volume.CodeBadHeader, "too long"},
		{"packed bits", all(stack(4), image{allocated: 12, storedBits: 12, highBit: 11}), volume.CodeUnsupportedDataType, "BitsAllocated"},
		{"more bits stored than there are", all(stack(4), image{storedBits: 17, highBit: 16}), volume.CodeBadHeader, "BitsStored"},
		{"frames without positions", all(stack(4), image{frames: "2"}), volume.CodeBadGeometry, "frames"},
		{"a slope of zero", all(stack(4), image{slope: "0"}), volume.CodeBadHeader, "RescaleSlope"},
		{"a slope that is none", all(stack(4), image{slope: "1,5"}), volume.CodeBadHeader, "RescaleSlope"},
	} {
		for _, e := range encodings {
			s, err := readImages(t, test.list, e)
			var r *volume.Refusal
			if !errors.As(err, &r) {
				t.Errorf("%s (%s): read, or another error: %v, %v", test.name, e.name, s, err)
				continue
			}
			if r.Code != test.code || !strings.Contains(err.Error(), test.word) || r.Cure == "" {
				t.Errorf("%s (%s): %s: %v", test.name, e.name, r.Code, err)
			}
		}
	}
}

func TestChoicesAreToldByName(t *testing.T) {
	jittered := stack(4)
	jittered[1][position] = `-10.004\-20\5.003`
	turned := stack(4)
	turned[2][orientation] = `1\0.00004\0\-0.00004\1\0`
	sheared := stack(4)
	for k := range sheared {
		sheared[k][position] = fmt.Sprintf(`-10\%d\%d`, -20+k, 5*k)
	}
	for _, test := range []struct {
		name     string
		list     []image
		warnings string
	}{
		{"nothing odd", stack(4), ""},
		{"names in reverse", []image{slice(3), slice(2), slice(1), slice(0)}, ""},
		{"positions off by microns", jittered, "positions-rounded"},
		{"directions off in the fifth digit", turned, "orientation-averaged"},
		{"a tilt", sheared, "shear"},
		{"low is bright", all(stack(4), image{photometric: "MONOCHROME1"}), "monochrome1-turned"},
		{"no word of grey", all(stack(4), image{photometric: nil}), "photometric-missing"},
		{"a padding value", all(stack(4), image{padding: 7}), "padding"},
		{"a negative slope", all(stack(4), image{slope: "-1"}), "scaling-negative"},
		{"slopes of their own", append(stack(3), slice(3).with(image{slope: "2"})), "scaling-varies"},
		{"a copy", append(stack(4), slice(2)), "copies-dropped"},
		{"a copy under another number", append(stack(4), slice(2).with(image{sopInstance: "1.7"})), "copies-dropped"},
		{"CT", all(stack(4), image{modality: "CT", sopClass: "1.2.840.10008.5.1.4.1.1.2"}), "not-mr"},
	} {
		s, err := readImages(t, test.list, explicitLE)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if names(s) != test.warnings || s.Size != [3]int{wide, high, 4} {
			t.Errorf("%s: %v, %v", test.name, s.Warnings, s.Size)
		}
	}
}

func TestSeveralVolumesInASeriesAreChosenByNumber(t *testing.T) {
	echoes := append(all(stack(4), image{echoTime: "10"}), all(stack(4), image{echoTime: "2.5", pixelData: make([]uint16, wide*high)})...)
	dir := folder(t, files(echoes, implicitLE))
	var r *volume.Refusal
	if _, _, err := dicom.Read(t.Context(), dir, volume.Options{}); !errors.As(err, &r) || r.Code != volume.CodeAmbiguousVolume || !strings.Contains(err.Error(), "EchoTime") {
		t.Errorf("none chosen: %v", err)
	}
	s, _, err := dicom.Read(t.Context(), dir, volume.Options{Volume: 2}) // the longer echo
	wantStack(t, "the second", 4, s, err)
	if err == nil && names(s) != "volume-chosen" {
		t.Errorf("%v", s.Warnings)
	}
	if _, _, err := dicom.Read(t.Context(), dir, volume.Options{Volume: 3}); !errors.As(err, &r) {
		t.Errorf("a third: %v", err)
	}
}

func TestTheT1LikeSeriesIsChosenByStatedRules(t *testing.T) {
	of := func(uid string, changes image) []image {
		list := all(stack(4), changes)
		for k := range list {
			list[k][series], list[k][sopInstance] = uid, fmt.Sprintf("%s.%d", uid, k)
		}
		return list
	}
	t2 := of("1.2.5", image{repetition: "4000", echoTime: "90", description: "ax t2"})
	flair := of("1.2.6", image{repetition: "9000", echoTime: "120", inversion: "2500", description: "flair"})
	scout := of("1.2.4", image{imageType: `ORIGINAL\PRIMARY\LOCALIZER`, repetition: "10", echoTime: "5"})
	mprage := of("1.2.3", image{repetition: "2300", echoTime: "2.98", inversion: "900"})
	spinEcho := of("1.2.3", image{repetition: "500", echoTime: "10"})
	named := of("1.2.3", image{description: "SAG T1 MPRAGE"})
	for _, test := range []struct {
		name string
		list []image
		code volume.Code // "" if 1.2.3 is right
	}{
		{"inversion", slices.Concat(t2, mprage, scout), ""},
		{"short times", slices.Concat(spinEcho, t2, flair), ""},
		{"by name", slices.Concat(of("1.2.5", image{description: "AX T2"}), named), ""},
		{"only one is a volume", slices.Concat(scout, of("1.2.7", image{})[:2], of("1.2.3", image{})), ""},
		{"contrast agent", slices.Concat(mprage, of("1.2.9", image{repetition: "2300", echoTime: "2.98", inversion: "900", contrastAgent: "Gd"})), ""},
		{"derived", slices.Concat(mprage, of("1.2.9", image{repetition: "2300", echoTime: "2.98", inversion: "900", imageType: `DERIVED\SECONDARY`})), ""},
		{"a picture of another kind", slices.Concat(mprage, of("1.2.9", image{modality: "OT", sopClass: "1.2.840.10008.5.1.4.1.1.7", repetition: nil})), ""},
		{"two alike", slices.Concat(mprage, of("1.2.8", image{repetition: "2300", echoTime: "2.98", inversion: "900"})), volume.CodeSeveralSeries},
		{"none is T1", slices.Concat(t2, flair), volume.CodeSeveralSeries},
	} {
		dir := folder(t, files(test.list, explicitLE))
		s, _, err := dicom.Read(t.Context(), dir, volume.Options{})
		var r *volume.Refusal
		switch {
		case test.code == "":
			if err != nil || s.Series != "1.2.3" || names(s) != "series-chosen" || len(s.LeftOut) == 0 {
				t.Errorf("%s: %+v, %v", test.name, s, err)
			}
		case !errors.As(err, &r) || r.Code != test.code || !strings.Contains(err.Error(), "1.2.8") && !strings.Contains(err.Error(), "1.2.6"):
			t.Errorf("%s: %v", test.name, err)
		}
		uid := test.list[0][series].(string)
		if uid == "1.2.4" {
			continue
		}
		if s, _, err := dicom.Read(t.Context(), dir, volume.Options{Series: uid}); err != nil || s.Series != uid || strings.Contains(names(s), "chosen") {
			t.Errorf("%s, by its UID: %v", test.name, err)
		}
	}
	if _, _, err := dicom.Read(t.Context(), folder(t, files(mprage, explicitLE)), volume.Options{Series: "1.9"}); err == nil {
		t.Error("a series that is not there was read")
	}
}
