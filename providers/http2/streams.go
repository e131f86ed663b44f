package http2

import "time"

// stream is a request under way. The zero value is a free place.
type stream struct {
	id uint32
	job
	begun  time.Duration // when it was handed to the connection
	sent   int           // bytes of the body
	window int64         // what the server takes of the body; may be negative (RFC 9113, section 6.9.2)

	status     int // 0 until the header of the answer is there
	retryAfter string
	body       []byte
	read       int // bytes of the body that came, with padding
}

// streams finds a connection's streams by their ids, which only grow. It is a table with the place of a stream in the low
// bits of its id; where that place is taken by a stream that lasts, an id is left out, as RFC 9113 (section 5.1.1) allows.
// It is at most half full, so few are.
type streams struct {
	places []stream // a power of two
	n      int
	next   uint32 // the least id that was not used
}

const (
	minPlaces = 16
	// lastID is the last stream of a connection. It ends some way before the protocol's, which no server counts to.
	lastID = 1 << 30
)

func place(id uint32, size int) int { return int(id>>1) & (size - 1) }

// open makes a stream for a job. The caller has seen to it that next is not above lastID.
func (s *streams) open(j job, now time.Duration, window int64) *stream {
	if 2*(s.n+1) > len(s.places) {
		s.resize(max(minPlaces, 2*len(s.places)))
	}
	for s.places[place(s.next, len(s.places))].id != 0 {
		s.next += 2
	}
	st := &s.places[place(s.next, len(s.places))]
	*st = stream{id: s.next, job: j, begun: now, window: window}
	s.next += 2
	s.n++
	return st
}

// find finds a stream; nil where there is none of that id any more, or was none yet.
func (s *streams) find(id uint32) *stream {
	if len(s.places) == 0 || id == 0 {
		return nil
	}
	if st := &s.places[place(id, len(s.places))]; st.id == id {
		return st
	}
	return nil
}

// close frees a stream's place.
func (s *streams) close(st *stream) {
	*st = stream{}
	s.n--
}

// shrink lets go of the memory of an idle connection.
func (s *streams) shrink() {
	if s.n == 0 && len(s.places) > minPlaces {
		s.places = nil
	}
}

// resize moves the streams to a larger table: two whose places differed have different places there, too.
func (s *streams) resize(size int) {
	places := make([]stream, size)
	for i := range s.places {
		if id := s.places[i].id; id != 0 {
			places[place(id, size)] = s.places[i]
		}
	}
	s.places = places
}
