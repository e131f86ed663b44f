package http2

import "time"

// job is a request with what belongs to it until it is answered.
type job struct {
	*Request
	by    Caller
	since time.Duration // when it was handed in, on the client's clock
	tries int           // how often it was handed to a connection that surely did not process it
}

// ring is a queue of jobs. It keeps its memory while it is in use, and lets go of it when it is empty and was large.
type ring struct {
	jobs []job // a power of two of places
	head int
	n    int
}

// ringKept is how many places an empty ring keeps.
const ringKept = 4096

func (r *ring) push(j job) {
	r.grow()
	r.jobs[(r.head+r.n)&(len(r.jobs)-1)] = j
	r.n++
}

// pushFront puts back what was taken before.
func (r *ring) pushFront(j job) {
	r.grow()
	r.head = (r.head - 1) & (len(r.jobs) - 1)
	r.jobs[r.head] = j
	r.n++
}

func (r *ring) grow() {
	if r.n < len(r.jobs) {
		return
	}
	jobs := make([]job, max(16, 2*len(r.jobs)))
	n := copy(jobs, r.jobs[r.head:])
	copy(jobs[n:], r.jobs[:r.head])
	r.jobs, r.head = jobs, 0
}

// shrink lets go of the memory of an empty queue.
func (r *ring) shrink() {
	if r.n == 0 {
		r.jobs, r.head = nil, 0
	}
}

func (r *ring) front() *job { return &r.jobs[r.head] }

func (r *ring) pop() job {
	j := r.jobs[r.head]
	r.jobs[r.head] = job{}
	r.head = (r.head + 1) & (len(r.jobs) - 1)
	if r.n--; r.n == 0 && len(r.jobs) > ringKept {
		r.jobs, r.head = nil, 0
	}
	return j
}
