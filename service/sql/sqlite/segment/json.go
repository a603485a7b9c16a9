package segment

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// What the names of files end with that are being written, and that were set aside.
const (
	temporary = ".new"
	damaged   = ".damaged"
)

// readJSON reads what writeJSON has written. The error is ErrDamaged if it is something else.
func readJSON(path string, v any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	text, sum, _ := bytes.Cut(text, []byte("\n"))
	if string(sum) != sumOf(text) {
		return fmt.Errorf("%w: the checksum of %s is wrong", ErrDamaged, path)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	return nil
}

// sumOf is the second line of a file of JSON.
func sumOf(text []byte) string { return fmt.Sprintf("%08x\n", checksum(text)) }

// writeJSON replaces a file as a whole: a reader finds the old one or the new one, after a loss of power as well. A line with a
// checksum follows: a digit that is another one would make another history.
func writeJSON(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	text = append(append(text, '\n'), sumOf(text)...)
	file, err := os.OpenFile(path+temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(path+temporary, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
