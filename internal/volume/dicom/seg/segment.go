package seg

import (
	"fmt"

	"github.com/brainseg/brainseg/internal/volume/dicom/derived"
)

// Concepts by the standard's dictionaries: CID 7150 (category), CID 7153 (types of
// the central nervous system), CID 7162 (algorithm family), CID 7203 (derivation)
// and CID 7202 (purpose of reference).
var (
	tissue       = derived.SCT("85756007", "Tissue")
	learned      = derived.DCM("123110", "Artificial Intelligence")
	segmentation = derived.DCM("113076", "Segmentation")
	sourceImage  = derived.DCM("121322", "Source image for image processing operation")
)

// tissues are the classes that have a code, by their name in a model's manifest.
var tissues = map[string]struct {
	label string
	code  derived.Code
}{
	"csf":          {"CSF", derived.SCT("65216001", "Cerebrospinal Fluid")},
	"grey-matter":  {"Grey matter", derived.SCT("389081007", "Gray Matter")},
	"white-matter": {"White matter", derived.SCT("389080008", "White Matter")},
}

// segment is a class but the background.
type segment struct {
	value uint8
	label string
	code  derived.Code
	lab   [3]uint16
}

// CheckClasses tells why classes cannot be written.
func CheckClasses(classes []Class) error {
	_, err := segmentsOf(classes)
	return err
}

// segmentsOf makes the segments, in order of the classes.
func segmentsOf(classes []Class) ([]segment, error) {
	var list []segment
	for _, c := range classes {
		if c.Value == 0 {
			continue
		}
		t, ok := tissues[c.Name]
		if !ok {
			return nil, fmt.Errorf("a DICOM SEG codes its segments by SNOMED CT, and the model's class %q is none of csf, grey-matter and white-matter: use a model with these classes, or do without the SEG", c.Name)
		}
		lab, err := displayLab(c.Colour)
		if err != nil {
			return nil, fmt.Errorf("class %q: %w", c.Name, err)
		}
		list = append(list, segment{value: c.Value, label: t.label, code: t.code, lab: lab})
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("there are no classes but the background")
	}
	return list, nil
}

// describe writes the item of segment i.
func (o *object) describe(e *derived.Encoder, i int) {
	s := o.segments[i]
	derived.Coded(e, 0x00620003, tissue) // SegmentedPropertyCategoryCodeSequence
	e.US(0x00620004, uint16(i+1))        // SegmentNumber
	e.Text(0x00620005, "LO", s.label)
	e.One(0x00620007, func() { // SegmentationAlgorithmIdentificationSequence
		derived.Coded(e, 0x0066002f, learned)                             // AlgorithmFamilyCodeSequence
		e.Text(0x00660031, "LO", derived.Line(o.ModelVersion, "unknown")) // AlgorithmVersion
		e.Text(0x00660036, "LO", derived.Line(o.Model, "unknown"))        // AlgorithmName
	})
	e.Text(0x00620008, "CS", "AUTOMATIC")   // SegmentAlgorithmType
	e.Text(0x00620009, "LO", o.ModelName()) // SegmentAlgorithmName
	e.US(0x0062000d, s.lab[:]...)           // RecommendedDisplayCIELabValue
	derived.Coded(e, 0x0062000f, s.code)    // SegmentedPropertyTypeCodeSequence
}
