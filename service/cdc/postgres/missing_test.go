package postgres_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// A publication that another made says what is captured; a stream that selects something else waits for ever.
func TestTablesThatThePublicationLacksAreTold(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.Exec(t, "CREATE TABLE shops (id int PRIMARY KEY)")
	h.Exec(t, "CREATE PUBLICATION "+h.Name+" FOR TABLE users")
	c := h.config()
	c.Publication = h.Name
	source, log := h.logged(c)
	h.serve(source)
	h.subscribe(api.StreamOptions{Tables: []string{"Users", "public.users", "shops", "public.user"}})
	eventually(t, func() bool { return strings.Contains(log.String(), "selected tables do not exist") }, "it was told")
	require.Contains(t, log.String(), `tables="[shops public.user; did you mean public.users?]"`)
}
