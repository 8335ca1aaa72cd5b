package artifactcache

import "slices"

// interval is the bytes from Start to End, End not included.
type interval struct {
	Start int64 `json:"start"`
	End   int64 `json:"end"`
}

// intervals are in order, apart from each other and not empty.
type intervals []interval

// add returns the union of s and one more interval.
func (s intervals) add(i interval) intervals {
	if i.Start >= i.End {
		return s
	}
	// Those that touch i become one with it.
	first, _ := slices.BinarySearchFunc(s, i.Start, func(have interval, start int64) int {
		if have.End < start {
			return -1
		}
		return 1
	})
	last := first
	for last < len(s) && s[last].Start <= i.End {
		i.Start, i.End = min(i.Start, s[last].Start), max(i.End, s[last].End)
		last++
	}
	return slices.Replace(s, first, last, i)
}

// gaps returns what is missing of the bytes 0 to size.
func (s intervals) gaps(size int64) []interval {
	var gaps []interval
	at := int64(0)
	for _, i := range s {
		if i.Start > at {
			gaps = append(gaps, interval{at, i.Start})
		}
		at = i.End
	}
	if at < size {
		gaps = append(gaps, interval{at, size})
	}
	return gaps
}

// length is the number of bytes.
func (s intervals) length() int64 {
	n := int64(0)
	for _, i := range s {
		n += i.End - i.Start
	}
	return n
}

// valid tells whether s can be the state of a transfer of size bytes.
func (s intervals) valid(size int64) bool {
	at := int64(-1)
	for _, i := range s {
		if i.Start <= at || i.Start < 0 || i.Start >= i.End || i.End > size {
			return false
		}
		at = i.End
	}
	return true
}
