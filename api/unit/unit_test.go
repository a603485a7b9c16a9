package unit_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/unit"
)

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"5s": 5 * time.Second, "250ms": 250 * time.Millisecond, "1h30m": 90 * time.Minute, " 1.5s ": 1500 * time.Millisecond,
		"-1s": -time.Second, "0": 0, "-0": 0, "0.0": 0, "00": 0, "0s": 0,
	} {
		d := unit.Duration(7)
		require.NoError(t, d.UnmarshalText([]byte(text)), text)
		require.Equal(t, want, d.Std(), text)
	}
}

func TestDurationsNeedAUnit(t *testing.T) {
	for text, want := range map[string]string{
		"5":                    "5 has no unit: write 5s or 5ms",
		"999":                  "999 has no unit: write 999s or 999ms",
		"5000":                 "5000 has no unit: write 5s or 5000ms",
		"-1500":                "-1500 has no unit: write -1.5s or -1500ms",
		"0.5":                  "0.5 has no unit: write 0.5s or 0.5ms",
		"5000000000":           "5000000000 has no unit: write 5000000s or 5000000000ms",
		"99999999999999999999": `"99999999999999999999" is not a duration: write it like 5s, 250ms or 1h30m`,
		"soon":                 `"soon" is not a duration: write it like 5s, 250ms or 1h30m`,
		"":                     `"" is not a duration: write it like 5s, 250ms or 1h30m`,
		"0x10":                 `"0x10" is not a duration: write it like 5s, 250ms or 1h30m`,
		"1e3":                  `"1e3" is not a duration: write it like 5s, 250ms or 1h30m`,
		"inf":                  `"inf" is not a duration: write it like 5s, 250ms or 1h30m`,
	} {
		d := unit.Duration(7)
		require.EqualError(t, d.UnmarshalText([]byte(text)), want)
		require.Equal(t, unit.Duration(7), d, text)
	}
}
