package stream_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc/stream"
)

func limited(t *testing.T, limits api.SubscriptionsConfig) (*stream.Streams, *writer) {
	t.Helper()
	set := settings(64*unit.MiB, new(engine))
	set.Subscriptions = limits
	return start(t, set)
}

func TestAdmissionLimitsTheNumberOfStreams(t *testing.T) {
	streams, _ := limited(t, api.SubscriptionsConfig{MaxSubscriptions: 2})
	first := open(t, streams, api.StreamOptions{})
	open(t, streams, api.StreamOptions{MaxBytes: unit.MiB})
	_, err := streams.Open(api.StreamOptions{})
	require.EqualError(t, err, `cdc: source "app:cdc": 2 streams are open, and subscriptions.max_subscriptions is 2: `+
		"close one, or raise the limit")
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.True(t, errs.Retryable(err))
	require.Equal(t, api.Admission{Active: 2, ReservedBytes: int64(16 * unit.MiB), Rejected: 1}, streams.Admission())
	first.Close()
	open(t, streams, api.StreamOptions{MaxBytes: unit.MiB})
	require.Equal(t, api.Admission{Active: 2, ReservedBytes: int64(unit.MiB), Rejected: 1}, streams.Admission())
}

func TestLiveStreamsReserveWhatTheLargestOfThemMayMakeTheLogKeep(t *testing.T) {
	streams, _ := limited(t, api.SubscriptionsConfig{MaxSubscriptions: 2000})
	for range 1000 {
		open(t, streams, api.StreamOptions{})
	}
	large := open(t, streams, api.StreamOptions{MaxBytes: 40 * unit.MiB})
	require.Equal(t, api.Admission{Active: 1001, ReservedBytes: int64(40 * unit.MiB)}, streams.Admission())
	large.Close()
	require.Equal(t, int64(16*unit.MiB), streams.Admission().ReservedBytes)
}

func TestAStreamThatAloneExceedsTheLimitWillNeverBeAdmitted(t *testing.T) {
	streams, _ := limited(t, api.SubscriptionsConfig{MaxBytes: 8 * unit.MiB})
	_, err := streams.Open(api.StreamOptions{})
	require.EqualError(t, err, `cdc: source "app:cdc": max_bytes is 16 MiB, more than subscriptions.max_bytes (8 MiB): `+
		"ask for less, or raise the limit")
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	require.False(t, errs.Retryable(err))
}

func TestAStreamThatEndsByItselfGivesItsPlaceBack(t *testing.T) {
	streams, _ := limited(t, api.SubscriptionsConfig{MaxSubscriptions: 1})
	s := open(t, streams, api.StreamOptions{})
	streams.Lose(1, errors.New("reasons"))
	require.Zero(t, streams.Admission().Active)
	open(t, streams, api.StreamOptions{})
	_, err := rest(t, s)
	require.ErrorContains(t, err, "changes were lost: reasons; resubscribe")
	require.Equal(t, 1, streams.Admission().Active)
}

func TestOptionsAreCheckedBeforeAdmission(t *testing.T) {
	streams, _ := limited(t, api.SubscriptionsConfig{})
	_, err := streams.Open(api.StreamOptions{Buffer: -1})
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	require.Zero(t, streams.Admission().Rejected)
}
