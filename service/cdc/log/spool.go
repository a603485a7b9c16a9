package log

import "github.com/wippy-cdc/runtime/internal/tempfile"

// spool is where segments go that leave memory. It is used by one goroutine.
type spool struct {
	// file is what is being written, nil if nothing is.
	file *tempfile.Part
}

// spoolSize is how large a file may become: it is given back when all that is in it was read.
const spoolSize = 64 << 20

// write writes the bytes of a segment and returns where they are.
func (s *spool) write(b []byte) (*tempfile.Part, error) {
	if s.file.Size() >= spoolSize {
		s.close()
	}
	if s.file == nil {
		file, err := tempfile.Create()
		if err != nil {
			return nil, err
		}
		s.file = tempfile.NewPart(file, 0, 0)
	}
	from := s.file.Size()
	if err := s.file.Append(b); err != nil {
		return nil, err
	}
	return s.file.Slice(from, int64(len(b))), nil
}

// close lets go of the file. What was written stays until it is released.
func (s *spool) close() {
	s.file.Release()
	s.file = nil
}
