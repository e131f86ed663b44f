package dispatcher

import (
	"fmt"
	"slices"
	"time"

	"pushd/providers"
	"pushd/queue"
	"pushd/queue/event"
)

// happen lets an item of the plan happen.
func (s *simulation) happen(i item) {
	s.note("-- %s", s.describe(i))
	if i.kind.fault() {
		s.strike(i)
		return
	}
	d := s.inOrder[i.a%len(s.inOrder)]
	switch i.kind {
	case wakeUp:
		s.publish(d, i.b)
	case salvo:
		for j := range i.b {
			s.publish(s.inOrder[(d.index+j)%len(s.inOrder)], 2)
		}
	case checkIn:
		at := s.time().Add(-time.Duration(i.b) * 5 * time.Second) // news that is late
		s.append(d, event.Event{Type: event.Checkin, Time: at}, checkIn)
		if s.cfg.Merge.Until == UntilCheckin {
			s.excuse(d, "checked in", func(e *simEvent) bool { return e.at.Before(at) })
		}
	case forgetIt:
		at := s.time().Add(-time.Duration(i.b) * 10 * time.Second) // one that is replayed is of a while ago
		s.append(d, event.Event{Type: event.Forget, Time: at}, forgetIt)
		s.excuse(d, "forgotten", func(e *simEvent) bool { return !e.at.After(at) })
	case newToken:
		if i.b == 1 {
			s.providers[d.provider].deadTokens[d.token] = s.time()
		}
		d.newToken(s.time())
	case repeated:
		s.repeat(d, i.b)
	case garbage:
		s.garbage(d, i.b)
	case gap:
		s.append(d, event.Event{Type: event.Checkin, Time: epoch.Add(-time.Hour)}, gap) // of long ago: it means nothing
		log := s.topic.logs[d.partition]
		log[len(log)-1].Offset += int64(i.b)
		s.referee.events[d.partition][len(log)-1].offset += int64(i.b)
	}
}

// describe says what an item does, and to whom.
func (s *simulation) describe(i item) string {
	var whom string
	switch i.kind {
	case reshuffled, topicDown:
	case metadataSpoilt:
		whom = fmt.Sprintf(" of partition %d", i.a%len(s.topic.logs))
	case providerDown, answersLost:
		whom = " of " + providerNames[i.a%len(providerNames)]
	case refusedAll, slowedDown, calledDead, renewed, tenantGone:
		whom = " of " + s.tenants[i.a%len(s.tenants)]
	default:
		whom = fmt.Sprintf(" of m%d", i.a%len(s.machines))
		if !i.kind.fault() {
			whom = " of " + s.inOrder[i.a%len(s.inOrder)].name
		}
	}
	text := itemNames[i.kind] + whom
	if i.kind == salvo || i.kind == gap {
		text += fmt.Sprintf(" and %d behind", i.b)
	}
	if i.kind == clockJumped {
		text += fmt.Sprintf(" by %v", i.lasting)
	} else if i.kind.lasts() {
		text += fmt.Sprintf(" for %v", i.lasting.Round(time.Millisecond))
	}
	return text
}

// time is what the publisher's clock says.
func (s *simulation) time() time.Time { return epoch.Add(s.at) }

// excuse excuses the events of a device for which the publisher has no need of a push any more.
func (s *simulation) excuse(d *device, why string, which func(*simEvent) bool) {
	for _, e := range d.events {
		if which(e) {
			e.excuse(why)
		}
	}
}

// publish publishes that a device is to check in; the bits of variant say how.
func (s *simulation) publish(d *device, variant int) {
	e := event.Event{Type: event.Wake, Priority: event.Priority(variant % 3), TokenRegisteredAt: d.since}
	if variant&0x70 == 0 {
		e.TokenRegisteredAt = time.Time{}
	}
	if variant&0x700 == 0 {
		e.Expires = s.time().Add(time.Duration(variant>>12) * 200 * time.Millisecond)
	}
	if variant&0x800 == 0x800 && variant&0x3000 == 0 {
		e.ID = "-"
	}
	s.append(d, e, wakeUp)
}

// append appends an event of a device to its partition. The id "-" is none.
func (s *simulation) append(d *device, e event.Event, kind itemKind) *simEvent {
	offset := s.topic.end(d.partition)
	e.Tenant, e.Device = s.tenants[d.tenant], d.name
	if e.Type == event.Wake {
		e.Provider, e.Token = d.provider, d.token
		if e.Provider == providers.APNs {
			e.PushMagic = "magic"
		}
	}
	if e.Time.IsZero() {
		e.Time = s.time()
	}
	if e.ID == "" {
		e.ID = fmt.Sprint("e", offset)
	} else if e.ID == "-" {
		e.ID = ""
	}
	key, value := event.Encode(&e)
	s.record(d, queue.Record{Offset: offset, Key: key, Value: value})
	known := &simEvent{device: d, kind: kind, offset: offset, at: e.Time, expires: e.Expires, token: e.Token, id: e.ID, published: s.time()}
	s.referee.events[d.partition] = append(s.referee.events[d.partition], known)
	if kind == wakeUp {
		d.events = append(d.events, known)
	}
	return known
}

// record puts a record into the log.
func (s *simulation) record(d *device, r queue.Record) {
	r.Partition, r.Time = int32(d.partition), s.time()
	s.topic.logs[d.partition] = append(s.topic.logs[d.partition], r)
	for _, m := range s.machines {
		if m.process != nil && m.process.alive {
			m.process.fetch()
		}
	}
}

// repeat publishes an earlier event of a device once more.
func (s *simulation) repeat(d *device, which int) {
	if len(d.events) == 0 {
		return
	}
	e := d.events[which%len(d.events)]
	again := *e
	again.offset, again.read, again.excused, again.lost, again.done = s.topic.end(d.partition), 0, "", false, false
	again.published = s.time()
	if again.original == nil && e.id != "" {
		again.original, e.copied = e, true
	}
	for _, r := range s.topic.behind(d.partition, e.offset)[:1] {
		r.Offset = again.offset
		s.record(d, r)
	}
	s.referee.events[d.partition] = append(s.referee.events[d.partition], &again)
	d.events = append(d.events, &again)
}

// garbage publishes a record that is no event, or of a tenant that nobody has.
func (s *simulation) garbage(d *device, variant int) {
	value := []byte("{")
	if variant == 0 {
		_, value = event.Encode(&event.Event{
			Type: event.Wake, Tenant: "nobody", Device: d.name, Provider: providers.FCM, Token: "t", Time: s.time(), ID: "x",
		})
	}
	known := &simEvent{device: d, kind: wakeUp, offset: s.topic.end(d.partition), at: s.time(), published: s.time()}
	s.record(d, queue.Record{Offset: known.offset, Key: event.Key("nobody", d.name), Value: value})
	s.referee.events[d.partition] = append(s.referee.events[d.partition], known)
}

// strike lets a fault happen.
func (s *simulation) strike(i item) {
	m := s.machines[i.a%len(s.machines)]
	p := m.process
	lives := p != nil && p.alive
	until := s.at + i.lasting
	name := providerNames[i.a%len(providerNames)]
	t := i.a % len(s.tenants)
	switch i.kind {
	case reshuffled:
		s.group.prepare()
		return
	case metadataSpoilt:
		s.topic.spoil(i.a%len(s.topic.logs), i.b)
		s.group.prepare()
		return
	case topicDown:
		s.topicDownUntil = until
		return
	case providerDown:
		s.providers[name].downUntil, s.providers[name].silent = until, i.b%2 == 0
		return
	case answersLost:
		s.providers[name].loseUntil, s.providers[name].loseOneIn = until, i.b
		return
	case refusedAll, slowedDown, calledDead:
		for _, name := range providerNames {
			trouble := &s.providers[name].tenants[t]
			switch i.kind {
			case refusedAll:
				trouble.refusedUntil = until
			case slowedDown:
				trouble.slowUntil = until
			default:
				trouble.deadUntil = until
			}
		}
		return
	case renewed:
		s.renew(t)
		return
	case tenantGone:
		s.gone[t] = true
		s.renew(t)
		s.later(i.lasting, func() {
			s.gone[t] = false
			s.renew(t)
		})
		return
	case clockJumped:
		m.off, m.jumped = m.off+i.lasting, true
		s.ahead = max(s.ahead, m.off)
		return
	}
	if !lives {
		return
	}
	switch i.kind {
	case killed:
		p.kill(m.within(5 * time.Second))
	case powerLost, diskLost:
		p.end(true)
		if i.kind == diskLost {
			s.referee.diskLost(m)
			m.disk = newDisk(m.rng.Uint64())
		}
		s.later(m.within(20*time.Second), m.start)
	case restarted:
		p.stop(m.within(5 * time.Second))
	case cutOff:
		p.cutUntil, p.mute = until, i.b%2 == 0
		s.later(sessionTimeout, func() { s.group.expire(p) })
		p.after(i.lasting+m.within(heartbeat), p.hear)
	case frozen:
		p.frozenUntil = until
		s.later(sessionTimeout, func() { s.group.expire(p) })
		p.after(i.lasting+m.within(heartbeat), p.hear)
	case diskBroken:
		m.brokenUntil = until
	}
}

// renew replaces a tenant's credentials, on all machines.
func (s *simulation) renew(t int) {
	s.versions[t]++
	for _, m := range s.machines {
		p := m.process
		if p == nil || !p.alive {
			continue
		}
		p.do(func() {
			s.reachedIf(outletRetiredInFlight, slices.ContainsFunc(p.underWay(), func(f *flight) bool { return f.tenant == t }))
			p.engine.Renew([]Road{{s.tenants[t], providers.APNs}, {s.tenants[t], providers.FCM}})
		})
	}
}
