package natstest_test

import (
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/internal/natstest"
)

func TestAServerIsKilledAndStartsAgain(t *testing.T) {
	s := natstest.New(t)
	url := s.URL()
	dial := func() error {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "nats://"))
		if err == nil {
			err = c.Close()
		}
		return err
	}
	require.NoError(t, dial())
	s.Kill()
	require.Error(t, dial())
	s.Start()
	require.Equal(t, url, s.URL())
	require.NoError(t, dial())
}
