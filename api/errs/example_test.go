package errs_test

import (
	"fmt"

	"github.com/wippy-cdc/runtime/api/errs"
)

func ExampleKindOf() {
	cause := errs.New(errs.Unavailable, "slot %q is in use", "orders")
	err := fmt.Errorf("start the source: %w", cause)
	fmt.Println(err)
	fmt.Println(errs.KindOf(err), errs.Is(err, errs.Unavailable), errs.Retryable(err))
	// Output:
	// start the source: slot "orders" is in use
	// UNAVAILABLE true true
}

func ExampleRetryable() {
	for _, err := range []error{errs.New(errs.Conflict, "it was changed meanwhile"), errs.New(errs.Invalid, "there is no such table")} {
		if errs.Retryable(err) {
			fmt.Println("try again:", err)
		} else {
			fmt.Println("give up:", err)
		}
	}
	// Output:
	// try again: it was changed meanwhile
	// give up: there is no such table
}
