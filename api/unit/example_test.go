package unit_test

import (
	"fmt"

	"github.com/wippy-cdc/runtime/api/unit"
)

func ExampleSize() {
	var limit unit.Size
	if err := limit.UnmarshalText([]byte("64MiB")); err != nil {
		fmt.Println(err)
	}
	fmt.Println(limit, int64(limit), 2*unit.GiB)
	fmt.Println(limit.UnmarshalText([]byte("plenty")))
	// Output:
	// 64 MiB 67108864 2 GiB
	// "plenty" is not a size: write it like 64MiB, 1GiB or 65536 (bytes)
}

func ExampleDuration() {
	var timeout unit.Duration
	if err := timeout.UnmarshalText([]byte("1m30s")); err != nil {
		fmt.Println(err)
	}
	fmt.Println(timeout, timeout.Std().Seconds())
	fmt.Println(timeout.UnmarshalText([]byte("30")))
	// Output:
	// 1m30s 90
	// 30 has no unit: write 30s or 30ms
}
