package segment

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Create makes an empty log, which begins behind a sequence, and behind all that a log has used which was set aside.
func Create(dir string, settings Settings, sequence uint64) (*Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	if err := syncDir(filepath.Dir(dir)); err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	names, err := namesIn(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if used := usedBy(dir, name); used > sequence {
			sequence = leapOver(used)
		}
	}
	l := &Log{dir: dir, state: state{Settings: settings, Newest: sequence + 1}, trimmed: sequence}
	return l, l.save()
}

// usedBy returns a sequence that a log has used of which a file was set aside, 0 for other files.
func usedBy(dir, name string) uint64 {
	marked, wasSetAside := strings.CutSuffix(name, damaged)
	if !wasSetAside {
		return 0
	}
	original := strings.TrimSuffix(marked, filepath.Ext(marked))
	if first, ok := firstOf(original); ok {
		return first
	}
	var s state
	if original != settingsFile || readJSON(filepath.Join(dir, name), &s) != nil {
		return 0
	}
	return s.Newest
}

// SetAside renames the files of a log that is damaged, so that it is none any more, and reports whether there were any. What consumers
// have acknowledged stays.
func SetAside(dir string) (were bool, err error) {
	names, err := namesIn(dir)
	if err != nil {
		return false, err
	}
	suffix := "." + time.Now().UTC().Format("20060102T150405Z") + damaged
	for _, name := range names {
		if isLog(name) {
			were = true
			path := filepath.Join(dir, name)
			err = errors.Join(err, os.Rename(path, path+suffix))
		}
	}
	if were {
		err = errors.Join(err, syncDir(dir))
	}
	return were, err
}

// Remove deletes a log, and all that was kept beside it. It is not an error if there is none.
func Remove(dir string) error {
	err := remove(dir, func(name string) bool {
		return isLog(name) || name == consumersFile || strings.HasSuffix(name, damaged)
	})
	if left := os.Remove(dir); err == nil && left != nil && !errors.Is(left, os.ErrNotExist) { // something else is in it
		err = left
	}
	return err
}

// Undo deletes a log that could not be begun. What was there before Create stays.
func (l *Log) Undo() error {
	if err := remove(l.dir, isLog); err != nil {
		return err
	}
	_ = os.Remove(l.dir) // unless something was in it
	return nil
}

// isLog reports whether a log has a file of that name.
func isLog(name string) bool {
	_, isSegment := firstOf(name)
	return isSegment || name == settingsFile
}

// remove deletes some files, and those that were not written to the end.
func remove(dir string, ours func(name string) bool) error {
	names, err := namesIn(dir)
	for _, name := range names {
		if ours(name) || strings.HasSuffix(name, temporary) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, name)))
		}
	}
	return err
}

// namesIn lists the files of a directory; there are none if it does not exist.
func namesIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("segment: %w", err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}
