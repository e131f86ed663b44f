package dispatcher

import (
	"math/rand/v2"
	"slices"
	"sort"
	"time"

	"pushd/queue"
)

// topic is a modelled topic of events: a log for each partition, and how far the group has committed.
type topic struct {
	logs      [][]queue.Record
	committed []commit
	ids       []queue.TopicID // of each partition: a topic that is made anew has another
}

// commit is what the group has committed of a partition.
type commit struct {
	offset   int64
	metadata string
}

// resumed is the progress of a partition as its commit says.
func (t *topic) resumed(p int) (queue.Progress, error) {
	at := t.committed[p]
	return queue.Resume(at.offset, at.metadata, t.ids[p], 0)
}

// behind is the records of a partition from an offset on.
func (t *topic) behind(p int, offset int64) []queue.Record {
	log := t.logs[p]
	return log[sort.Search(len(log), func(i int) bool { return log[i].Offset >= offset }):]
}

// end is the offset of the next record.
func (t *topic) end(p int) int64 {
	if n := len(t.logs[p]); n > 0 {
		return t.logs[p][n-1].Offset + 1
	}
	return 0
}

// spoil makes the metadata of a commit something else than what was written.
func (t *topic) spoil(p, how int) {
	c := &t.committed[p]
	switch how {
	case 0: // another program's
		c.metadata = "AgADAQ=="
	case 1: // of the topic that had this name before
		done, err := t.resumed(p)
		if err == nil {
			c.metadata = done.Metadata(queue.TopicID{2}, 0)
		}
	case 2: // lost
		c.metadata = ""
	default: // a character is another
		if n := len(c.metadata); n > 0 {
			text := []byte(c.metadata)
			text[n/2] = "AB"[text[n/2]&1]
			c.metadata = string(text)
		}
	}
}

// What the modelled group and its members wait for.
const (
	heartbeat      = 3 * time.Second  // how soon a member hears of a rebalance
	sessionTimeout = 6 * time.Second  // how long the group does without a member's heartbeats
	joinTimeout    = 10 * time.Second // how long it waits for its members to join again
	revokeDrain    = 3 * time.Second  // how long a member lets its owners drain
	commitEvery    = time.Second
)

// group is the modelled coordinator. Members join; whoever was there is told, releases its partitions and joins again; when
// all have, or the time for it is over, the next generation begins. Commits of an earlier generation are refused. A member
// that does not hear of it is a zombie: it goes on until it does.
type group struct {
	*simulation
	rng        *rand.Rand
	generation int
	members    []*process // of this generation
	joined     []*process // those that wait for the next
	preparing  int        // counts rebalances; one that is over does not begin again
	stable     bool
}

// join lets a process wait for the next generation.
func (g *group) join(p *process) {
	if !slices.Contains(g.joined, p) {
		g.joined = append(g.joined, p)
	}
	g.prepare()
	g.beginIfAll()
}

// leave is a member's word that it goes.
func (g *group) leave(p *process) {
	g.drop(p)
	g.prepare()
	g.beginIfAll()
}

func (g *group) drop(p *process) {
	g.members = slices.DeleteFunc(g.members, func(m *process) bool { return m == p })
	g.joined = slices.DeleteFunc(g.joined, func(m *process) bool { return m == p })
}

// expire drops a member whose heartbeats have not come, if they still do not.
func (g *group) expire(p *process) {
	if p.hears() || !slices.Contains(g.members, p) && !slices.Contains(g.joined, p) {
		return
	}
	g.note("the group drops %v", p)
	g.leave(p)
}

// prepare begins a rebalance, unless one has begun.
func (g *group) prepare() {
	if !g.stable {
		return
	}
	g.stable = false
	g.preparing++
	round := g.preparing
	for _, p := range g.members {
		p.after(time.Duration(g.rng.Int64N(int64(heartbeat))), p.hear)
	}
	g.later(joinTimeout, func() {
		if round == g.preparing && !g.stable {
			g.begin()
		}
	})
}

func (g *group) beginIfAll() {
	for _, p := range g.members {
		if !slices.Contains(g.joined, p) {
			return
		}
	}
	g.begin()
}

// begin begins a generation with those that have joined.
func (g *group) begin() {
	for _, p := range g.members {
		if !slices.Contains(g.joined, p) && p.alive {
			g.reached(zombieLeft)
		}
	}
	g.joined = slices.DeleteFunc(g.joined, func(p *process) bool { return !p.alive })
	g.generation++
	g.stable = true
	g.members, g.joined = g.joined, nil
	if len(g.members) == 0 {
		return
	}
	shares := make([][]int, len(g.members))
	for i, partition := range g.rng.Perm(len(g.topic.logs)) {
		who := i % len(shares)
		shares[who] = append(shares[who], partition)
	}
	generation := g.generation
	for i, p := range g.members {
		slices.Sort(shares[i])
		p.after(time.Duration(g.rng.Int64N(int64(100*time.Millisecond))), func() { p.takeOver(generation, shares[i]) })
	}
}

// commit takes a member's word of how far a partition is done; it says whether it was accepted.
func (g *group) commit(p *process, generation, partition int, done *queue.Progress) bool {
	if generation != g.generation || !slices.Contains(g.members, p) {
		g.reached(commitRefused)
		return false
	}
	g.note("%v commits partition %d up to %d, and %d beyond", p, partition, done.Watermark, done.Beyond())
	before, _ := g.topic.resumed(partition)
	g.referee.committed(p, partition, &before, done)
	g.topic.committed[partition] = commit{done.Watermark, done.Metadata(g.topic.ids[partition], 0)}
	return true
}
