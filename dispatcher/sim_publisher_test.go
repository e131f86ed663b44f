package dispatcher

import (
	"time"

	"pushd/queue"
)

const parkedTopicName = "pushd.parked"

// Publish is of Publisher: messages are in their topics after a while, and then the process hears of it.
func (p *process) Publish(messages []queue.Message, done func()) {
	var parked, told []queue.Message
	for _, m := range messages {
		if m.Topic == parkedTopicName {
			parked = append(parked, m)
		} else {
			told = append(told, m)
		}
	}
	left := 0
	part := func() {
		if left--; left == 0 {
			done()
		}
	}
	if len(parked) > 0 {
		left++
		p.post(parked, part)
	}
	if len(told) > 0 {
		left++
		p.tell(told, part)
	}
}

// tell publishes feedback and dead letters.
func (p *process) tell(messages []queue.Message, done func()) {
	arrives := func() {}
	arrives = func() {
		switch {
		case !p.alive && p.rng.IntN(2) == 0: // it ended before they were sent
		case p.at < p.topicDownUntil && p.alive:
			p.later(p.topicDownUntil-p.at+p.within(100*time.Millisecond), arrives)
		case p.at < p.topicDownUntil:
		default:
			p.referee.published(p, messages)
			p.after(p.within(10*time.Millisecond), done)
		}
	}
	p.later(p.within(20*time.Millisecond), arrives)
}

// posted is messages to the topic of parked wakes that a process waits to write.
type posted struct {
	messages []queue.Message
	stand    [][]*simEvent // for which events each of them stands
	done     func()
}

// post lets messages be written to the topic of parked wakes, behind all that the process has posted before.
func (p *process) post(messages []queue.Message, done func()) {
	p.outbox = append(p.outbox, &posted{messages: messages, done: done})
	if len(p.outbox) == 1 {
		p.later(p.within(20*time.Millisecond), p.writeOut)
	}
}

// explain notes for which events what was posted in a step stands. It is known when the step is over.
func (p *process) explain() {
	for _, o := range p.outbox {
		for len(o.stand) < len(o.messages) {
			var stands []*simEvent
			if value := o.messages[len(o.stand)].Value; value != nil {
				stands = p.stands(value[4:]) // behind the checksum
			}
			o.stand = append(o.stand, stands)
		}
	}
}

// writeOut writes the oldest of what is posted. Only that is on its way: of a process that ended it may have arrived or not.
func (p *process) writeOut() {
	o := p.outbox[0]
	switch {
	case !p.alive:
		if p.rng.IntN(2) == 0 && p.at >= p.topicDownUntil {
			p.referee.unstored(p.parked.write(o))
		}
		p.outbox = nil
		return
	case p.at < p.topicDownUntil:
		p.later(p.topicDownUntil-p.at+p.within(100*time.Millisecond), p.writeOut)
		return
	case p.at < p.frozenUntil && p.rng.IntN(2) == 0:
		p.later(p.frozenUntil-p.at, p.writeOut)
		return
	}
	p.referee.unstored(p.parked.write(o))
	p.reachedIf(zombieWrites, p.generation != p.group.generation)
	if p.rng.IntN(30) == 0 { // nobody hears that it was: it is written again
		p.later(p.within(3*time.Second), p.writeOut)
		return
	}
	p.outbox = p.outbox[1:]
	p.after(p.within(10*time.Millisecond), o.done)
	if len(p.outbox) > 0 {
		p.later(p.within(20*time.Millisecond), p.writeOut)
	}
}
