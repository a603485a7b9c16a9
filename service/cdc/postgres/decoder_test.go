package postgres_test

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	cdcpostgres "github.com/wippy-cdc/runtime/service/cdc/postgres"
)

func u32(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }

// The messages of a table with one column, of transactions that insert into it, and of those that are streamed.
var (
	relation = u32(7) + "public\x00t\x00d" + "\x00\x01" + "\x01id\x00" + u32(23) + u32(0xffffffff)
	begin    = "B" + u32(0) + u32(100) + u32(0) + u32(1) + u32(5)
	commit   = "C\x00" + u32(0) + u32(100) + u32(0) + u32(200) + u32(0) + u32(1)
)

func insert(text string) string {
	return u32(7) + "N\x00\x01t" + u32(uint32(len(text))) + text
}

func streamCommit(xid uint32) string {
	return "c" + u32(xid) + "\x00" + u32(0) + u32(100) + u32(0) + u32(200) + u32(0) + u32(1)
}

// decoded feeds messages to a decoder and returns the IDs of the rows that have committed.
func decoded(t *testing.T, messages ...string) (rows []int64, lost error) {
	t.Helper()
	decode, end := cdcpostgres.Decoding(100, 1000, func(changes []*api.Change, why error) {
		lost = why
		for _, c := range changes {
			rows = append(rows, c.After[0].Int64())
		}
	})
	defer end()
	for _, m := range messages {
		require.NoError(t, decode([]byte(m)))
	}
	return rows, lost
}

func TestStrayAndUnknownMessagesAreIgnored(t *testing.T) {
	t.Parallel()
	rows, _ := decoded(t, "A"+u32(9)+u32(9), "A"+u32(9)+u32(10), "O"+u32(0)+u32(0)+"origin\x00", "Y"+u32(1)+"public\x00mood\x00",
		"M\x00"+u32(0)+u32(1)+"p\x00"+u32(1)+"x", begin, "R"+relation, "I"+insert("1"), commit)
	require.Equal(t, []int64{1}, rows)
}

func TestInterleavedStreamsInMessages(t *testing.T) {
	t.Parallel()
	start := func(xid uint32) string { return "S" + u32(xid) + "\x01" }
	in := func(xid uint32, m string) string { return m[:1] + u32(xid) + m[1:] }
	rows, _ := decoded(t,
		start(1), in(1, "R"+relation), in(1, "I"+insert("1")), in(11, "I"+insert("2")), "E",
		start(2), in(2, "R"+relation), in(2, "I"+insert("3")), "E",
		begin, "R"+relation, "I"+insert("4"), commit,
		start(1), in(12, "I"+insert("5")), in(1, "I"+insert("6")), "E",
		"A"+u32(1)+u32(11), "A"+u32(2)+u32(2), streamCommit(1))
	require.Equal(t, []int64{4, 1, 5, 6}, rows)
}

func TestATransactionThatIsTooLargeIsAGap(t *testing.T) {
	t.Parallel()
	messages := []string{begin, "R" + relation}
	for range 100 {
		messages = append(messages, "I"+insert("1"))
	}
	rows, lost := decoded(t, append(messages, commit)...)
	require.Empty(t, rows)
	require.ErrorContains(t, lost, "transaction 5 is larger than 1000 bytes")
}

// Whatever comes, the decoder does not panic.
func FuzzDecoder(f *testing.F) {
	join := func(messages ...string) []byte {
		var all []byte
		for _, m := range messages {
			all = append(append(all, byte(len(m))), m...)
		}
		return all
	}
	f.Add(join(begin, "R"+relation, "I"+insert("1"), "U"+insert("2"), "D"+insert("3"), "T"+u32(1)+"\x00"+u32(7), commit))
	f.Add(join("S"+u32(1)+"\x01", "R"+u32(1)+relation, "I"+u32(2)+insert("1"), "E", "A"+u32(1)+u32(2), streamCommit(1)))
	f.Add(join("R0000\x00\x000"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		decode, end := cdcpostgres.Decoding(100, 1000, func(changes []*api.Change, _ error) {
			for _, c := range changes {
				c.Key()
			}
		})
		defer end()
		for len(data) > 0 {
			n := min(int(data[0]), len(data)-1)
			if decode(data[1:1+n]) != nil {
				return
			}
			data = data[1+n:]
		}
	})
}
