package queue

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
)

// leader shares out the partitions, where the group has made this member its leader, in ranges: each member gets a run
// of partitions. It remembers how many it shared out, and so knows when there are more.
//
// kafka-go's own watch for new partitions counts them when the generation has begun, in every member. A partition that was
// made after the leader had counted and before that is never seen, and a topic that is missing makes it join in a tight loop.
type leader struct {
	kafka.RangeGroupBalancer
	shared atomic.Int64 // partitions shared out in this generation; -1 where another member leads
}

func newLeader() *leader {
	l := &leader{}
	l.shared.Store(-1)
	return l
}

// UserData is called at the beginning of each attempt to join, when nobody leads.
func (l *leader) UserData() ([]byte, error) {
	l.shared.Store(-1)
	return l.RangeGroupBalancer.UserData()
}

// AssignGroups is called where this member leads.
func (l *leader) AssignGroups(members []kafka.GroupMember, partitions []kafka.Partition) kafka.GroupMemberAssignments {
	l.shared.Store(int64(len(partitions)))
	return l.RangeGroupBalancer.AssignGroups(members, partitions)
}

var errNewPartitions = errors.New("the topic has other partitions than were shared out")

// watch ends the generation when the topic has partitions that were not shared out. What was heard of the topic may be
// older than what was shared out: that it has fewer partitions, because it was created again, must be heard twice.
func (g *generation) watch(taking context.Context, stop context.CancelCauseFunc) {
	c := g.c
	ticker := time.NewTicker(c.cfg.Member.PartitionWatch)
	defer ticker.Stop()
	fewer := 0
	for {
		select {
		case <-ticker.C:
		case <-taking.Done():
			return
		}
		shared := int(c.leader.shared.Load())
		if shared < 0 {
			return
		}
		have, err := c.conn.partitions(taking, c.cfg.Topic)
		switch {
		case taking.Err() != nil:
			return
		case err != nil:
			c.trouble.about("look for new partitions", err)
		case have > shared:
			stop(errNewPartitions)
		case have < shared:
			if fewer++; fewer == 2 {
				stop(errNewPartitions)
			}
		default:
			fewer = 0
		}
	}
}
