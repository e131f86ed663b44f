package main

import (
	"os"
	"testing"

	"pushd/loadtest/mixture"
)

// lostWithItsDisk kills a daemon that has parked wakes, deletes its directory, and has another one go on.
func lostWithItsDisk(p *play) {
	parks := []string{"--providers.apns.retry.server_error=5s", "--providers.apns.retry.device=5s"} // too long for memory
	first := p.daemon("first", parks...)
	p.publish(p.load.Records, 1500)
	p.accepted(500)
	p.eventually("wakes are parked", func() bool { return first.metric(p.t, "pushd_retry_queue_entries") >= 50 })
	parked := int(first.metric(p.t, "pushd_retry_queue_entries"))
	first.kill()
	if err := os.RemoveAll(p.ledger("first")); err != nil {
		p.t.Fatal(err)
	}
	at := p.stage.Accepted()
	second := p.daemon("second", parks...)
	p.settled(len(p.load.Records))
	recalled := second.metric(p.t, "pushd_events_recalled_total")
	p.t.Logf("killed with %d wakes parked and %d pushes accepted; %v events were known to be done", parked, at, recalled)
	p.balanced(second)
	p.judge(at) // no more than was accepted before can be repeated; what is lost fails it in any case
	second.stop(p.t)
}

func TestAMachineThatIsLostWithItsDiskLosesNoParkedWake(t *testing.T) {
	t.Parallel()
	load := newLoad(3000, 16)
	failAtFirst(load)
	p := playOf(t, load)
	p.parked = "pushd.parked"
	lostWithItsDisk(p)
}

// failAtFirst lets the first push fail for half of the devices that have only one event, so that only the daemon that
// parks their wakes can serve them.
func failAtFirst(load *mixture.Mixture) {
	events := make(map[string]int)
	for i := range load.Records {
		events[load.Records[i].Token]++
	}
	half := false
	for _, r := range load.Records {
		if half = !half; half && r.Want == mixture.Push && events[r.Token] == 1 && load.Faults[r.Token] == mixture.NoFault {
			load.Faults[r.Token] = mixture.Internal
		}
	}
}
