package main

import (
	"fmt"

	"github.com/wippy-cdc/runtime/api/registry"
)

// result turns what a process has returned into an exit code. What has no meaning for a program is an error: it would
// be lost without a word.
func (p *program) result(id registry.ID, value any) error {
	switch v := value.(type) {
	case nil:
	case bool:
		if !v {
			return exitCode(1)
		}
	case string:
		if _, err := fmt.Fprintln(p.stdout, v); err != nil {
			return err
		}
	case int64:
		return codeOf(id, float64(v))
	case float64:
		return codeOf(id, v)
	case error:
		return v
	default:
		return fmt.Errorf("run %q: returned a table, which is not the result of a command: return nothing, true or false, "+
			"an exit code from 0 to 255, a string to print, or an error", id)
	}
	return nil
}

// codeOf checks that a number can be an exit code.
func codeOf(id registry.ID, n float64) error {
	code := int(n)
	switch {
	case n < 0 || n > 255 || float64(code) != n:
		return fmt.Errorf("run %q: returned %v, which is not an exit code: 0 to 255", id, n)
	case code == 0:
		return nil
	default:
		return exitCode(code)
	}
}
