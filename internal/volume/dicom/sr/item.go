package sr

import (
	"github.com/brainseg/brainseg/internal/volume/dicom/derived"
	"github.com/brainseg/brainseg/internal/volume/dicom/seg"
)

// item is a content item of the report: a node of its tree.
type item struct {
	relation string // to the item above; "" for the root
	kind     string // ValueType
	name     derived.Code
	// Elements of its value before and after ContentSequence's neighbours.
	refers   func(*derived.Encoder) // group 0008; nil for none
	says     func(*derived.Encoder) // between ConceptNameCodeSequence (0040,a043) and ContentTemplateSequence (0040,a504)
	template string                 // of a container; "" for none
	items    []*item
}

func (i *item) add(items ...*item) *item {
	i.items = append(i.items, items...)
	return i
}

func container(relation string, name derived.Code, template string) *item {
	return &item{relation: relation, kind: "CONTAINER", name: name, template: template, says: func(e *derived.Encoder) {
		e.Text(0x0040a050, "CS", "SEPARATE") // ContinuityOfContent
	}}
}

func textItem(relation string, name derived.Code, text string) *item {
	return &item{relation: relation, kind: "TEXT", name: name, says: func(e *derived.Encoder) { e.Text(0x0040a160, "UT", text) }}
}

func uidItem(relation string, name derived.Code, uid string) *item {
	return &item{relation: relation, kind: "UIDREF", name: name, says: func(e *derived.Encoder) { e.Text(0x0040a124, "UI", uid) }}
}

func codeItem(relation string, name, value derived.Code) *item {
	return &item{relation: relation, kind: "CODE", name: name, says: func(e *derived.Encoder) { derived.Coded(e, 0x0040a168, value) }}
}

func numberItem(name derived.Code, value float64, unit derived.Code) *item {
	return &item{relation: "CONTAINS", kind: "NUM", name: name, says: func(e *derived.Encoder) {
		e.One(0x0040a300, func() { // MeasuredValueSequence
			derived.Coded(e, 0x004008ea, unit)
			e.Text(0x0040a30a, "DS", plain(value))
		})
	}}
}

func segmentItem(name derived.Code, of seg.Reference, number int) *item {
	return &item{relation: "CONTAINS", kind: "IMAGE", name: name, refers: func(e *derived.Encoder) {
		e.One(0x00081199, func() { // ReferencedSOPSequence
			reference(e, of.Class, of.Instance)
			e.US(0x0062000b, uint16(number)) // ReferencedSegmentNumber
		})
	}}
}

// encode writes the elements of an item.
func (i *item) encode(e *derived.Encoder) {
	if i.refers != nil {
		i.refers(e)
	}
	e.Text(0x0040a010, "CS", i.relation)
	i.value(e)
	i.rest(e)
}

// value writes the item's name and value, and rest its template and the items
// below: a root has other elements between.
func (i *item) value(e *derived.Encoder) {
	e.Text(0x0040a040, "CS", i.kind)
	derived.Coded(e, 0x0040a043, i.name)
	if i.says != nil {
		i.says(e)
	}
}

func (i *item) rest(e *derived.Encoder) {
	if i.template != "" {
		e.One(0x0040a504, func() { // ContentTemplateSequence
			e.Text(0x00080105, "CS", "DCMR")
			e.Text(0x0040db00, "CS", i.template)
		})
	}
	if len(i.items) > 0 {
		e.Sequence(0x0040a730, len(i.items), func(n int) { i.items[n].encode(e) })
	}
}
