package resource_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	resourceapi "github.com/wippy-cdc/runtime/api/resource"
	"github.com/wippy-cdc/runtime/service/resource"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var db = registry.ID{Namespace: "app", Name: "db"}

func TestLookupFollowsTheLifeOfAResource(t *testing.T) {
	d := resource.New()
	_, err := d.Lookup(db)
	require.Equal(t, errs.NotFound, errs.KindOf(err))
	require.ErrorContains(t, err, `resource "app:db"`)

	forget := d.Declare(db)
	_, err = d.Lookup(db)
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.True(t, errs.Retryable(err))

	withdraw := d.Publish(db, 42)
	got, err := d.Lookup(db)
	require.NoError(t, err)
	require.Equal(t, 42, got)

	withdraw()
	_, err = d.Lookup(db)
	require.Equal(t, errs.Unavailable, errs.KindOf(err))

	forget()
	_, err = d.Lookup(db)
	require.Equal(t, errs.NotFound, errs.KindOf(err))
}

func TestWithdrawingADeclarationTakesThePublicationAlong(t *testing.T) {
	d := resource.New()
	forget := d.Declare(db)
	d.Publish(db, 1)
	forget()
	_, err := d.Lookup(db)
	require.Equal(t, errs.NotFound, errs.KindOf(err))
}

func TestPublishWithoutDeclaration(t *testing.T) {
	d := resource.New()
	withdraw := d.Publish(db, 1)
	_, err := d.Lookup(db)
	require.NoError(t, err)
	withdraw()
	_, err = d.Lookup(db)
	require.Equal(t, errs.NotFound, errs.KindOf(err))
}

func TestWithdrawingTheOldKeepsTheNew(t *testing.T) {
	d := resource.New()
	forgetOld := d.Declare(db)
	d.Declare(db)
	withdrawOld := d.Publish(db, "old")
	d.Publish(db, "new")

	forgetOld()
	withdrawOld()
	withdrawOld()
	got, err := d.Lookup(db)
	require.NoError(t, err)
	require.Equal(t, "new", got)
}

func TestGetChecksTheType(t *testing.T) {
	d := resource.New()
	d.Publish(db, 42)
	n, err := resourceapi.Get[int](d, db)
	require.NoError(t, err)
	require.Equal(t, 42, n)
	_, err = resourceapi.Get[string](d, db)
	require.Equal(t, errs.Invalid, errs.KindOf(err))
}

func TestConcurrentUse(t *testing.T) {
	d := resource.New()
	var wg sync.WaitGroup
	for i := range 8 {
		id := registry.ID{Namespace: "app", Name: string(rune('a' + i%4))}
		wg.Go(func() {
			for n := range 500 {
				forget := d.Declare(id)
				withdraw := d.Publish(id, n)
				if _, err := d.Lookup(id); err != nil {
					require.Contains(t, []errs.Kind{errs.NotFound, errs.Unavailable}, errs.KindOf(err))
				}
				withdraw()
				forget()
			}
		})
	}
	wg.Wait()
	for i := range 4 {
		_, err := d.Lookup(registry.ID{Namespace: "app", Name: string(rune('a' + i))})
		require.Equal(t, errs.NotFound, errs.KindOf(err))
	}
}
