// Package unit gives configuration fields their units: durations and sizes, written the way people write them.
package unit

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that reads "5s", "250ms", "1h30m" and 0. Any other number needs a unit: users who leave
// it out rarely mean the same one.
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	if n, bare := bareNumber(s); bare && n != 0 {
		return fmt.Errorf("%s has no unit: write %s or %sms", s, inSeconds(s, n), s)
	} else if bare {
		*d = 0
		return nil
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is not a duration: write it like 5s, 250ms or 1h30m", s)
	}
	*d = Duration(v)
	return nil
}

// bareNumber returns the number that s is, if it is nothing but a decimal number of a size that can be meant.
func bareNumber(s string) (n float64, bare bool) {
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil && strings.Trim(s, "+-.0123456789") == "" && math.Abs(n) < 1e12
}

// inSeconds is what was probably meant by the number n, written s: from a thousand on, milliseconds.
func inSeconds(s string, n float64) string {
	if math.Abs(n) < 1000 {
		return s + "s"
	}
	return strconv.FormatFloat(n/1000, 'f', -1, 64) + "s"
}

// String returns the duration in Go's notation.
func (d Duration) String() string { return time.Duration(d).String() }

// Std returns the duration as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// Size is a number of bytes that reads "64MiB", "1GiB", "512KB" or a plain number.
type Size int64

// The binary units.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	word := strings.TrimSpace(string(text))
	digits := strings.TrimRight(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	factor, known := sizeFactor(strings.ToLower(strings.TrimSpace(word[len(digits):])))
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || !known || n != n || math.Abs(n)*factor >= math.MaxInt64 {
		return fmt.Errorf("%q is not a size: write it like 64MiB, 1GiB or 65536 (bytes)", word)
	}
	*s = Size(n * factor)
	return nil
}

func sizeFactor(unit string) (float64, bool) {
	switch unit {
	case "", "b":
		return 1, true
	case "kib", "k":
		return 1 << 10, true
	case "mib", "m":
		return 1 << 20, true
	case "gib", "g":
		return 1 << 30, true
	case "tib", "t":
		return 1 << 40, true
	case "kb":
		return 1e3, true
	case "mb":
		return 1e6, true
	case "gb":
		return 1e9, true
	default:
		return 0, false
	}
}

// String returns the size in the largest binary unit of which it is at least one, rounded to a tenth.
func (s Size) String() string {
	for _, u := range []struct {
		size Size
		name string
	}{{GiB, "GiB"}, {MiB, "MiB"}, {KiB, "KiB"}} {
		if s >= u.size {
			v := strconv.FormatFloat(float64(s)/float64(u.size), 'f', 1, 64)
			return strings.TrimSuffix(v, ".0") + " " + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + " bytes"
}
