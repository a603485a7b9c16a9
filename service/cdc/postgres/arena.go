package postgres

import (
	"encoding/binary"

	"github.com/wippy-cdc/runtime/internal/tempfile"
	"github.com/wippy-cdc/runtime/service/cdc/log"
)

// A record is an entry of the log: behind its header come the sub-transaction that has made it (0 if the transaction was sent
// as a whole) and the tuples as the server has sent them.
const recordHeader = log.EntryHeader + 4

// arena holds the records of one transaction: first those in file, then those in memory.
type arena struct {
	memory []byte
	file   *tempfile.Part
}

func (a *arena) size() int64 { return a.file.Size() + int64(len(a.memory)) }

// add adds a record.
func (a *arena) add(slot, xid uint32, code log.Code, tuples []byte) {
	a.memory = binary.LittleEndian.AppendUint32(a.memory, uint32(recordHeader+len(tuples))) //nolint:gosec // a message is less than 1 GiB
	a.memory = append(a.memory, byte(code), 0, 0, 0)
	a.memory = binary.LittleEndian.AppendUint32(a.memory, slot)
	a.memory = binary.LittleEndian.AppendUint32(a.memory, xid)
	a.memory = append(a.memory, tuples...)
}

// spill moves what is in memory to a file.
func (a *arena) spill() error {
	if a.file == nil {
		file, err := tempfile.Create()
		if err != nil {
			return err
		}
		a.file = tempfile.NewPart(file, 0, 0)
	}
	if err := a.file.Append(a.memory); err != nil {
		return err
	}
	a.memory = a.memory[:0]
	return nil
}

// drop forgets everything.
func (a *arena) drop() {
	a.file.Release()
	*a = arena{}
}
