package metrics

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A sample is one line of a scrape.
type sample struct {
	name, kind string
	labels     map[string]string
	value      float64
}

// key is what no two samples of a scrape may have in common.
func (s sample) key() string { return fmt.Sprint(s.name, s.labels) } // maps print in order

// A scrape is a page that was read.
type scrape map[string]sample

// get returns the value of a series: its name, and names and values of labels in turn.
func (s scrape) get(name string, labels ...string) (float64, error) {
	m := make(map[string]string)
	for i := 0; i+1 < len(labels); i += 2 {
		m[labels[i]] = labels[i+1]
	}
	x, ok := s[sample{name: name, labels: m}.key()]
	if !ok {
		return 0, fmt.Errorf("no %s%v", name, m)
	}
	return x.value, nil
}

var (
	metricName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	labelName  = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
)

// parse reads a page, and is stricter than the format: every family has its HELP and
// then its TYPE before its samples, only once; there is one blank between tokens, and no
// timestamp; no label is empty; counters, and only they, end in _total; what has "le"
// grows with it up to +Inf.
func parse(text string) (scrape, error) {
	if !utf8.ValidString(text) || !strings.HasSuffix(text, "\n") {
		return nil, fmt.Errorf("not UTF-8, or the last line does not end")
	}
	all, families := make(scrape), make(map[string]bool)
	var family, kind string
	var last sample // of a family with "le"
	for n, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		fail := func(problem string) (scrape, error) {
			return nil, fmt.Errorf("line %d: %s: %q", n+1, problem, line)
		}
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, help, _ := strings.Cut(rest, " ")
			if families[name] || !metricName.MatchString(name) || help == "" || strings.Contains(help, `\`) {
				return fail("a family's second HELP, or not a good one")
			}
			if last.labels["le"] != "" && last.labels["le"] != "+Inf" {
				return fail("the family before has no +Inf")
			}
			family, kind, last = name, "", sample{}
			families[name] = true
			continue
		}
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, k, _ := strings.Cut(rest, " ")
			if name != family || kind != "" || k != "counter" && k != "gauge" || strings.HasSuffix(name, "_total") != (k == "counter") {
				return fail("not the TYPE of the family")
			}
			kind = k
			continue
		}
		s, err := parseSample(line)
		switch {
		case err != nil:
			return fail(err.Error())
		case s.name != family || kind == "":
			return fail("outside its family")
		case kind == "counter" && s.value < 0:
			return fail("a counter below zero")
		}
		if _, twice := all[s.key()]; twice {
			return fail("the series is there twice")
		}
		if le := s.labels["le"]; le != "" {
			if was := last.labels["le"]; was != "" && was != "+Inf" {
				a, _ := strconv.ParseFloat(was, 64)
				if b, err := strconv.ParseFloat(le, 64); err != nil || b <= a || s.value < last.value {
					return fail("does not grow")
				}
			}
			last = s
		}
		s.kind = kind
		all[s.key()] = s
	}
	return all, nil
}

func parseSample(line string) (s sample, err error) {
	s.labels = make(map[string]string)
	end := strings.IndexAny(line, "{ ")
	if end < 0 || !metricName.MatchString(line[:end]) {
		return s, fmt.Errorf("no name")
	}
	s.name, line = line[:end], line[end:]
	for mark := byte('{'); line != "" && line[0] == mark; mark = ',' {
		name, rest, ok := strings.Cut(line[1:], `="`)
		if _, twice := s.labels[name]; !ok || twice || !labelName.MatchString(name) {
			return s, fmt.Errorf("not a label: %q", name)
		}
		var value []byte
		for rest != "" && rest[0] != '"' {
			b := rest[0]
			if rest = rest[1:]; b == '\\' {
				i := strings.IndexAny(rest, `\"n`)
				if i != 0 {
					return s, fmt.Errorf("not an escape")
				}
				b, rest = "\\\"\n"[strings.IndexByte(`\"n`, rest[0])], rest[1:]
			}
			value = append(value, b)
		}
		if rest == "" || len(value) == 0 {
			return s, fmt.Errorf("a value without an end, or empty")
		}
		s.labels[name] = string(value)
		if line = rest[1:]; line != "" && line[0] == '}' {
			line = line[1:]
			break
		}
	}
	if !strings.HasPrefix(line, " ") {
		return s, fmt.Errorf("no blank before the value")
	}
	s.value, err = strconv.ParseFloat(line[1:], 64)
	return s, err
}
