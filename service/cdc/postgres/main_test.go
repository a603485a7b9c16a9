package postgres_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/wippy-cdc/runtime/internal/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }
