package seg

import (
	"fmt"
)

// code is a coded concept.
type code struct{ value, scheme, meaning string }

// Concepts by the standard's dictionaries: CID 7150 (category), CID 7153 (types of
// the central nervous system), CID 7162 (algorithm family), CID 7203 (derivation)
// and CID 7202 (purpose of reference).
var (
	tissue       = code{"85756007", "SCT", "Tissue"}
	learned      = code{"123110", "DCM", "Artificial Intelligence"}
	segmentation = code{"113076", "DCM", "Segmentation"}
	sourceImage  = code{"121322", "DCM", "Source image for image processing operation"}
)

// tissues are the classes that have a code, by their name in a model's manifest.
var tissues = map[string]struct {
	label string
	code  code
}{
	"csf":          {"CSF", code{"65216001", "SCT", "Cerebrospinal Fluid"}},
	"grey-matter":  {"Grey matter", code{"389081007", "SCT", "Gray Matter"}},
	"white-matter": {"White matter", code{"389080008", "SCT", "White Matter"}},
}

// segment is a class but the background.
type segment struct {
	value uint8
	label string
	code  code
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
func (o *object) describe(e *encoder, i int) {
	s := o.segments[i]
	coded(e, 0x00620003, tissue)  // SegmentedPropertyCategoryCodeSequence
	e.us(0x00620004, uint16(i+1)) // SegmentNumber
	e.text(0x00620005, "LO", s.label)
	e.one(0x00620007, func() { // SegmentationAlgorithmIdentificationSequence
		coded(e, 0x0066002f, learned)                                  // AlgorithmFamilyCodeSequence
		e.text(0x00660031, "LO", line(o.opts.ModelVersion, "unknown")) // AlgorithmVersion
		e.text(0x00660036, "LO", line(o.opts.Model, "unknown"))        // AlgorithmName
	})
	e.text(0x00620008, "CS", "AUTOMATIC")   // SegmentAlgorithmType
	e.text(0x00620009, "LO", o.modelName()) // SegmentAlgorithmName
	e.us(0x0062000d, s.lab[:]...)           // RecommendedDisplayCIELabValue
	coded(e, 0x0062000f, s.code)            // SegmentedPropertyTypeCodeSequence
}

// coded writes a code sequence.
func coded(e *encoder, tag uint32, c code) {
	e.one(tag, func() {
		e.text(0x00080100, "SH", c.value)
		e.text(0x00080102, "SH", c.scheme)
		e.text(0x00080104, "LO", c.meaning)
	})
}
