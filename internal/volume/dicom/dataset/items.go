package dataset

import (
	"fmt"

	"github.com/brainseg/brainseg/internal/volume"
)

// Keep stores an element that is wanted and passes over another.
func (s *Stream) Keep(set Set, e Element) error {
	known, wanted := tagNames[e.Tag]
	if !wanted || known.vr == vrSequence || e.Length == UndefinedLength {
		return s.Pass(e)
	}
	limit := uint32(maxValue)
	if e.Tag == TagExtendedOffsetTable {
		limit = 8 * MaxFrames
	}
	value, err := s.Value(e, limit)
	if err != nil {
		return err
	}
	if e.VR == implicitVR || e.VR == vrUnknown {
		e.VR = known.vr
	}
	// Of an element that is there twice, the first counts.
	if _, twice := set.Elements[e.Tag]; !twice {
		set.Elements[e.Tag] = Value{e.VR, value}
	}
	s.settle(e)
	return nil
}

// ItemList reads the items of a sequence.
func (s *Stream) ItemList(e Element, depth int) (list []Set, err error) {
	err = s.EachItem(e, depth, func(item Set) { list = append(list, item) })
	return list, err
}

// EachItem reads the items of one of the sequences whose structure is known, so
// that depth stays small.
func (s *Stream) EachItem(e Element, depth int, use func(item Set)) error {
	if depth > 2 {
		return s.Pass(e)
	}
	end := int64(-1)
	if e.Length != UndefinedLength {
		end = s.at + int64(e.Length)
	}
	n := 0
	for end < 0 || s.at < end {
		item, err := s.Next()
		if err != nil {
			return err
		}
		if item.Tag == TagSequenceEnd && end < 0 {
			return nil
		}
		if item.Tag != TagItem {
			return volume.Refuse(volume.CodeDamaged, fmt.Sprintf("a sequence holds the element %v, which is no item", item.Tag), "export the series again")
		}
		if n++; n > MaxFrames {
			return volume.Refuse(volume.CodeTooLarge, fmt.Sprintf("it has more than %d frames", MaxFrames), "export a part of it")
		}
		set, err := s.item(item, depth)
		if err != nil {
			return err
		}
		use(set)
	}
	return nil
}

// item reads the elements of one item.
func (s *Stream) item(item Element, depth int) (Set, error) {
	set := NewSet(s.Order)
	end := int64(-1)
	if item.Length != UndefinedLength {
		end = s.at + int64(item.Length)
	}
	for end < 0 || s.at < end {
		e, err := s.Next()
		if err != nil {
			return set, err
		}
		if e.Tag == TagItemEnd && end < 0 {
			return set, nil
		}
		if groupSequences[e.Tag] {
			set.Items[e.Tag], err = s.ItemList(e, depth+1)
		} else {
			err = s.Keep(set, e)
		}
		if err != nil {
			return set, err
		}
	}
	return set, nil
}
