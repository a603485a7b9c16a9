package cdc_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc"
)

func limitedLog(t *testing.T, limits api.SubscriptionsConfig) *cdc.Log {
	t.Helper()
	log := cdc.NewLog(cdc.LogSettings{Source: sourceID, Bytes: 64 * unit.MiB, Subscriptions: limits})
	t.Cleanup(func() { log.Close(errors.New("test is over")) })
	return log
}

func TestAdmissionLimitsTheNumberOfStreams(t *testing.T) {
	log := limitedLog(t, api.SubscriptionsConfig{MaxSubscriptions: 2})
	first := subscribe(t, log, api.StreamOptions{})
	subscribe(t, log, api.StreamOptions{MaxBytes: unit.MiB})
	_, err := log.Subscribe(api.StreamOptions{})
	require.EqualError(t, err, `cdc: source "app:cdc": 2 streams are open, and subscriptions.max_subscriptions is 2: `+
		"close one, or raise the limit")
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.True(t, errs.Retryable(err))
	require.Equal(t, api.Admission{Active: 2, ReservedBytes: int64(16 * unit.MiB), Rejected: 1}, log.Admission())
	first.Close()
	subscribe(t, log, api.StreamOptions{MaxBytes: unit.MiB})
	require.Equal(t, api.Admission{Active: 2, ReservedBytes: int64(unit.MiB), Rejected: 1}, log.Admission())
}

func TestLiveStreamsReserveWhatTheLargestOfThemMayMakeTheLogKeep(t *testing.T) {
	log := limitedLog(t, api.SubscriptionsConfig{MaxSubscriptions: 2000})
	for range 1000 {
		subscribe(t, log, api.StreamOptions{})
	}
	large := subscribe(t, log, api.StreamOptions{MaxBytes: 40 * unit.MiB})
	require.Equal(t, api.Admission{Active: 1001, ReservedBytes: int64(40 * unit.MiB)}, log.Admission())
	large.Close()
	require.Equal(t, int64(16*unit.MiB), log.Admission().ReservedBytes)
}

func TestAStreamThatAloneExceedsTheLimitWillNeverBeAdmitted(t *testing.T) {
	log := limitedLog(t, api.SubscriptionsConfig{MaxBytes: 8 * unit.MiB})
	_, err := log.Subscribe(api.StreamOptions{})
	require.EqualError(t, err, `cdc: source "app:cdc": max_bytes is 16 MiB, more than subscriptions.max_bytes (8 MiB): `+
		"ask for less, or raise the limit")
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	require.False(t, errs.Retryable(err))
}

func TestAStreamThatEndsByItselfGivesItsPlaceBack(t *testing.T) {
	log := limitedLog(t, api.SubscriptionsConfig{MaxSubscriptions: 1})
	s := subscribe(t, log, api.StreamOptions{})
	log.Lose(errors.New("reasons"))
	_, err := rest(t, s)
	require.Error(t, err)
	require.Zero(t, log.Admission().Active)
	subscribe(t, log, api.StreamOptions{})
}

func TestOptionsAreCheckedBeforeAdmission(t *testing.T) {
	log := limitedLog(t, api.SubscriptionsConfig{})
	_, err := log.Subscribe(api.StreamOptions{Buffer: -1})
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	require.Zero(t, log.Admission().Rejected)
}
