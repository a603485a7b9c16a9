package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// What consumers have acknowledged must not be taken for nothing because it cannot be read.
func TestConsumersThatCannotBeRead(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	role := h.Name + "_worker"
	h.Role(t, role, "open-sesame", "REPLICATION")
	h.exec("GRANT ALL ON SCHEMA public TO " + role + "; GRANT CREATE ON DATABASE " + h.Name + " TO " + role +
		"; ALTER TABLE users OWNER TO " + role + "; CREATE SCHEMA other; GRANT ALL ON SCHEMA other TO " + role)
	c := h.config("users")
	c.Username, c.Password = role, "open-sesame"
	running := h.serve(h.source(c))
	s := h.consume("one", api.StreamOptions{})
	h.insert(1, 2)
	require.NoError(t, s.Ack(take(t, s, 2)[0].Position()))
	require.NoError(t, running.stop())
	h.exec("CREATE TABLE other.wippy_cdc_offsets (id int)") // that of another program

	h.exec("ALTER TABLE wippy_cdc_offsets OWNER TO CURRENT_USER; REVOKE ALL ON wippy_cdc_offsets FROM " + role)
	err := h.refusal(c)
	require.ErrorContains(t, err, "type GRANT SELECT ON wippy_cdc_offsets TO")
	require.Equal(t, errs.PermissionDenied, errs.KindOf(err))
	h.exec("SELECT pg_drop_replication_slot('" + h.Name + "')")
	require.ErrorContains(t, h.refusal(c), "type GRANT SELECT ON wippy_cdc_offsets TO", "nor is the slot made anew")

	h.exec("GRANT ALL ON wippy_cdc_offsets TO " + role + "; ALTER ROLE " + role + " SET search_path = other, public; DROP TABLE other.wippy_cdc_offsets")
	h.exec("CREATE TABLE other.wippy_cdc_offsets (LIKE wippy_cdc_offsets INCLUDING ALL); GRANT ALL ON other.wippy_cdc_offsets TO " + role)
	err = h.refusal(c)
	require.ErrorContains(t, err, "have acknowledged is in")
	require.ErrorContains(t, err, `"public"."wippy_cdc_offsets", where the search path of the role does not lead`)

	h.exec("DROP TABLE other.wippy_cdc_offsets; REVOKE ALL ON wippy_cdc_offsets FROM " + role + "; ALTER ROLE " + role + " SET search_path = other")
	h.exec("ALTER TABLE users SET SCHEMA other")
	source, said := h.logging(c)
	h.serve(source)
	require.True(t, said.has("one that it cannot read"), "what is nowhere where it looks is told")
}
