package queue

import (
	"fmt"
	"testing"
)

// compactedIsRead publishes to partitions by number, overwrites and buries, and reads what is left.
func compactedIsRead(t *testing.T, p ground) {
	name := p.cfg.Topic + "-parked"
	if err := EnsureTopics(deadline(t), p.cfg, Topic{Name: name, Like: p.cfg.Topic, Configs: map[string]string{"cleanup.policy": "compact"}}); err != nil {
		t.Fatal(err)
	}
	pub, _, stop := p.publisher(t, newWitness())
	publish := func(partition int32, key, value string) {
		acknowledged := make(chan struct{})
		m := Message{Topic: name, Partition: &partition, Key: []byte(key)}
		if value != "" {
			m.Value = []byte(value)
		}
		pub.Publish([]Message{m}, func() { close(acknowledged) })
		await(t, acknowledged)
	}
	for partition := range int32(4) {
		for i := range 5 {
			publish(partition, fmt.Sprint("key-", i), fmt.Sprintf("old-%d", i))
		}
		publish(partition, "key-3", "new")
		publish(partition, "key-1", "")
		publish(partition, "gone before", "")
	}
	stop()
	c, err := NewCompacted(p.cfg, name)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for partition := range int32(4) {
		records, err := c.Read(deadline(t), partition)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, r := range records {
			got += fmt.Sprintf("%s=%s ", r.Key, r.Value)
		}
		if want := "key-0=old-0 key-2=old-2 key-4=old-4 key-3=new "; got != want {
			t.Errorf("partition %d has %q, want %q", partition, got, want)
		}
	}
	if _, err := c.Read(deadline(t), 9); err == nil {
		t.Error("a partition that there is not can be read")
	}
}

func topicsGrowAlike(t *testing.T, p ground) {
	name := p.cfg.Topic + "-parked"
	p.create(t, name, 2)
	for range 2 {
		if err := EnsureTopics(deadline(t), p.cfg, Topic{Name: name, Like: p.cfg.Topic}); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := p.cfg.connect(name)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.close()
	if n, err := conn.partitions(deadline(t), name); err != nil || n != 4 {
		t.Errorf("it has %d partitions (%v), want 4", n, err)
	}
}

func TestAPositionIsReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	for _, p := range []Position{{}, {TopicID{1, 255, 7}, 3, 1 << 60}, {TopicID{255}, 1<<31 - 1, -5}} {
		if got, err := ParsePosition(p.String()); err != nil || got != p {
			t.Errorf("%v is read as %v: %v", p, got, err)
		}
	}
	for _, wrong := range []string{"", "//", "a/1/2", "AAECAwQFBgcICQoLDA0ODw/1", "AAECAwQFBgcICQoLDA0ODw/1/2/3", "AAECAwQFBgcICQoLDA0ODw/+1/2", "AAECAwQFBgcICQoLDA0ODw/1/02", "AAECAwQFBgcICQoLDA0ODw==/1/2", "AAECAwQFBgcICQoLDA0ODw/9999999999/2", "AAECAwQFBgcICQoLDA0OD!/1/2"} {
		if p, err := ParsePosition(wrong); err == nil {
			t.Errorf("%q is read as %v", wrong, p)
		}
	}
}

func FuzzPosition(f *testing.F) {
	f.Add("AAECAwQFBgcICQoLDA0ODw/3/1042")
	f.Add("//")
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := ParsePosition(s); err == nil && p.String() != s {
			t.Errorf("%q is written as %q", s, p.String())
		}
	})
}
