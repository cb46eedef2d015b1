package gen

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// tag is the content of a tag godwit:"...", by key. What is used is removed, so that what remains is wrong.
type tag map[string]string

// prefix is the key of what stands before the keys of a tag in the tag of the field.
const prefix = ""

func parseTag(text string) tag {
	t := tag{}
	for part := range strings.SplitSeq(text, ",") {
		if key, value, _ := strings.Cut(strings.TrimSpace(part), "="); key != "" {
			t[key] = value
		}
	}
	return t
}

func (t tag) take(key string) (string, bool) {
	v, ok := t[key]
	delete(t, key)
	return v, ok
}

func (t tag) has(key string) bool {
	_, ok := t.take(key)
	return ok
}

// each returns the tag of the elements of a list, array or map: what has "each." in front, and what can only be
// for them.
func (t tag) each() tag {
	e := tag{}
	for key, value := range t {
		if !strings.HasPrefix(key, "each.") && !strings.HasPrefix(key, "key.") {
			e[key] = value
		}
	}
	for key, value := range t {
		if key, ok := strings.CutPrefix(key, "each."); ok {
			e[key] = value
		}
	}
	e[prefix] = t[prefix] + "each."
	return e
}

// key returns the tag of the keys of a map: what has "key." in front.
func (t tag) key() tag {
	e := tag{}
	for key, value := range t {
		if key, ok := strings.CutPrefix(key, "key."); ok {
			e[key] = value
		}
	}
	e[prefix] = t[prefix] + "key."
	return e
}

// rest returns the keys that nothing has used.
func (t tag) rest() []string {
	delete(t, prefix)
	return slices.Sorted(maps.Keys(t))
}

// takeMax returns the limit of a length.
func (t tag) takeMax() (int, error) {
	s, ok := t.take("max")
	if !ok {
		return 0, fmt.Errorf("needs a limit: %smax=N in its tag", t[prefix])
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > math.MaxInt32 {
		return 0, fmt.Errorf("needs max=N with a number of 1 or more, not max=%s", s)
	}
	return n, nil
}

// takeRange returns the range of an integer with n bits, or nil if the tag has none.
func (t tag) takeRange(n int, signed bool) (*Range, error) {
	text, ok := t.take("range")
	step, hasStep := t.take("step")
	if !ok {
		if hasStep {
			return nil, fmt.Errorf("step needs range=A..B, too")
		}
		return nil, nil
	}
	if !hasStep {
		step = "1"
	}
	from, to, _ := strings.Cut(text, "..")
	lo, err1 := strconv.ParseInt(from, 10, 64)
	hi, err2 := strconv.ParseInt(to, 10, 64)
	s, err3 := strconv.ParseInt(step, 10, 64)
	switch {
	case err1 != nil || err2 != nil || lo >= hi:
		return nil, fmt.Errorf("range=%s is not A..B of two integers, the smaller first", text)
	case err3 != nil || s < 1:
		return nil, fmt.Errorf("step=%s is no integer of 1 or more", step)
	case lo < -maxSafe || hi > maxSafe:
		return nil, fmt.Errorf("range=%s is more than JavaScript's numbers have", text)
	case !signed && lo < 0, n < 64 && (lo < lowest(n, signed) || hi > highest(n, signed)):
		return nil, fmt.Errorf("range=%s is more than the type has", text)
	case (hi-lo)%s != 0:
		return nil, fmt.Errorf("step=%d does not divide range=%s", s, text)
	case (hi-lo)/s > math.MaxUint32:
		return nil, fmt.Errorf("range=%s has more than 2^32 values", text)
	}
	return &Range{float64(lo), float64(hi), float64(s), uint64((hi - lo) / s)}, nil
}

const maxSafe = 1<<53 - 1

func lowest(n int, signed bool) int64 {
	if !signed {
		return 0
	}
	return -1 << (n - 1)
}

func highest(n int, signed bool) int64 {
	if !signed {
		return 1<<n - 1
	}
	return 1<<(n-1) - 1
}

// takeFloatRange returns the range of a float with n bits, or nil if the tag has none.
func (t tag) takeFloatRange(n int) (*Range, error) {
	text, ok := t.take("range")
	step, hasStep := t.take("step")
	if !ok && !hasStep {
		return nil, nil
	}
	if !ok || !hasStep {
		return nil, fmt.Errorf("range=A..B and step=S come together: the error of a value is at most S/2")
	}
	from, to, _ := strings.Cut(text, "..")
	lo, err1 := strconv.ParseFloat(from, 64)
	hi, err2 := strconv.ParseFloat(to, 64)
	s, err3 := strconv.ParseFloat(step, 64)
	if err1 != nil || err2 != nil || !(lo < hi) || math.IsInf(hi-lo, 0) {
		return nil, fmt.Errorf("range=%s is not A..B of two numbers, the smaller first", text)
	}
	if err3 != nil || !(s > 0) {
		return nil, fmt.Errorf("step=%s is no number above 0", step)
	}
	lo, hi = lo+0, hi+0 // no -0
	count := math.Floor((hi-lo)/s + 0.5)
	largest := max(math.Abs(lo), math.Abs(hi))
	fine := 0x1p-53
	if n == 32 {
		fine = 0x1p-24
	}
	switch {
	case count < 1 || count > math.MaxUint32:
		return nil, fmt.Errorf("range=%s has fewer than 2 or more than 2^32 values", text)
	case math.Abs(lo+count*s-hi) > 1e-6*s:
		return nil, fmt.Errorf("step=%s does not divide range=%s", step, text)
	case largest*fine > 0.49*s:
		return nil, fmt.Errorf("a float%d is too coarse for step=%s at %v", n, step, largest)
	}
	return &Range{lo, hi, s, uint64(count)}, nil
}
