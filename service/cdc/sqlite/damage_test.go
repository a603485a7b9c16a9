package sqlite_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// vandal damages the files of a database in a directory. Its methods return what they have done.
type vandal struct {
	t      *testing.T
	random *rand.Rand
	dir    string
}

func (v *vandal) wal() string { return filepath.Join(v.dir, "app.db-wal") }

func (v *vandal) log(name string) string { return filepath.Join(v.dir, "app.db-cdc", name) }

func (v *vandal) somewhere(low, size int64) int64 {
	switch span := size - low; {
	case span <= 0:
		return low
	case v.random.IntN(2) == 0: // near the end
		return size - v.random.Int64N(min(span, 3000)+1)
	default:
		return low + v.random.Int64N(span+1)
	}
}

func (v *vandal) cut(path string, low int64) string {
	info, err := os.Stat(path)
	if err != nil {
		return filepath.Base(path) + " is missing"
	}
	at := v.somewhere(low, info.Size())
	if at > info.Size() {
		return ""
	}
	require.NoError(v.t, os.Truncate(path, at))
	what := "cut"
	if v.random.IntN(4) == 0 { // what a file system makes of it after a loss of power
		require.NoError(v.t, os.Truncate(path, info.Size()))
		what = "zero"
	}
	return fmt.Sprintf("%s %s at %d of %d", what, filepath.Base(path), at, info.Size())
}

func (v *vandal) flip(path string, low, high int64) string {
	b, err := os.ReadFile(path)
	if err != nil || int64(len(b)) <= low {
		return filepath.Base(path) + " has nothing there"
	}
	if high <= 0 || high > int64(len(b)) {
		high = int64(len(b))
	}
	at := min(v.somewhere(low, high), high-1)
	b[at] ^= 1 << v.random.IntN(8)
	require.NoError(v.t, os.WriteFile(path, b, 0o600))
	return fmt.Sprintf("flip %s at %d of %d", filepath.Base(path), at, len(b))
}

func (v *vandal) segments() []string {
	all, err := filepath.Glob(v.log("*.segment"))
	require.NoError(v.t, err)
	return all
}

func (v *vandal) newest() string {
	all := v.segments()
	return all[len(all)-1]
}

func (v *vandal) any() string {
	all := v.segments()
	return all[v.random.IntN(len(all))]
}

// uncheckpointed is where frames begin in a write-ahead log that are not in the database yet: only these can be lost.
func (v *vandal) uncheckpointed() int64 {
	const header, frame, page = 32, 24, 4096
	b, err := os.ReadFile(filepath.Join(v.dir, "app.db-shm"))
	if err != nil || len(b) < 136 {
		return header
	}
	done := max(binary.NativeEndian.Uint32(b[96:]), binary.NativeEndian.Uint32(b[128:]))
	return header + int64(done)*(frame+page)
}

// anotherBoot makes the segments those of an earlier run of the operating system.
func (v *vandal) anotherBoot() string {
	const at, page = 512, 4096
	boot := regexp.MustCompile(`"boot":"[^"]*"`)
	for _, path := range v.segments() {
		b, err := os.ReadFile(path)
		require.NoError(v.t, err)
		if len(b) < page {
			continue
		}
		n := binary.LittleEndian.Uint32(b[at:])
		text := boot.ReplaceAllFunc(b[at+8:at+8+n], func(old []byte) []byte {
			return []byte(`"boot":"` + strings.Repeat("0", len(old)-len(`"boot":""`)) + `"`)
		})
		require.Len(v.t, text, int(n))
		copy(b[at+8:], text)
		binary.LittleEndian.PutUint32(b[at+4:], crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli)))
		require.NoError(v.t, os.WriteFile(path, b, 0o600))
	}
	return "boot"
}

func (v *vandal) removeIndex() string {
	require.NoError(v.t, os.RemoveAll(filepath.Join(v.dir, "app.db-shm")))
	return "no index"
}

const headerPage = 4096

// damages are the ways to damage a database whose writer was killed. What its write-ahead log holds for certain stays.
func damages() map[string]func(v *vandal) string {
	const slots, slotsEnd = 64, 64 + 128 + 56
	return map[string]func(v *vandal) string{
		"nothing": func(*vandal) string { return "" },
		"boot":    (*vandal).anotherBoot,
		"index": func(v *vandal) string {
			if v.random.IntN(2) == 0 {
				return v.removeIndex()
			}
			return v.flip(filepath.Join(v.dir, "app.db-shm"), 0, 96)
		},
		"cut segment":      func(v *vandal) string { return v.cut(v.newest(), int64(headerPage*v.random.IntN(2))) },
		"cut any segment":  func(v *vandal) string { return v.cut(v.any(), 0) },
		"flip any segment": func(v *vandal) string { return v.flip(v.any(), headerPage, 0) },
		"flip segment":     func(v *vandal) string { return v.flip(v.newest(), headerPage, 0) },
		"flip header":      func(v *vandal) string { return v.flip(v.newest(), 0, 700) },
		"flip slots":       func(v *vandal) string { return v.flip(v.newest(), slots, slotsEnd) },
		"slots and tail": func(v *vandal) string {
			return v.flip(v.newest(), slots, slotsEnd) + ", " + v.cut(v.newest(), headerPage)
		},
		"flip log.json": func(v *vandal) string { return v.flip(v.log("log.json"), 0, 0) },
		"cut log.json":  func(v *vandal) string { return v.cut(v.log("log.json"), 0) },
		"no segment": func(v *vandal) string {
			path := v.any()
			require.NoError(v.t, os.Remove(path))
			return "remove " + filepath.Base(path)
		},
		"cut wal":  func(v *vandal) string { return v.cut(v.wal(), v.uncheckpointed()) },
		"flip wal": func(v *vandal) string { return v.flip(v.wal(), v.uncheckpointed(), 0) },
		"cut both": func(v *vandal) string {
			return v.cut(v.wal(), v.uncheckpointed()) + ", " + v.cut(v.newest(), headerPage)
		},
		"power loss": func(v *vandal) string {
			what := v.anotherBoot() + ", " + v.cut(v.wal(), v.uncheckpointed())
			if v.random.IntN(2) == 0 {
				what += ", " + v.cut(v.newest(), headerPage)
			}
			if v.random.IntN(2) == 0 {
				what += ", " + v.removeIndex()
			}
			return what
		},
	}
}
