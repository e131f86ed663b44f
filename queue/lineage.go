package queue

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TopicID is Kafka's identity of a topic. A topic that is deleted and created again has another.
type TopicID [16]byte

// String is the id as Kafka's tools print it.
func (id TopicID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// lineage says of which log an offset is: after an election of a leader that had not all of the log, offsets come again
// with other records. Nothing is known of a log whose topic id is zero.
type lineage struct {
	topic TopicID
	epoch int32 // the leader's
}

// track knows under which lineage the window of a partition was read.
type track struct {
	mu     sync.Mutex // guards all below
	window lineage    // of all records from the watermark on
	latest lineage    // of those from reached on
	// reached is where the first fetch began after latest became known; -1 where none has begun yet.
	reached int64
}

// heard takes the lineage that the brokers tell.
func (t *track) heard(l lineage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l != t.latest {
		t.latest, t.reached = l, -1
	}
}

// fetching says that no fetch is under way, and that the next begins at an offset.
func (t *track) fetching(next int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reached < 0 {
		t.reached = next
	}
}

// at is a lineage under which, or under a later one, all records from the watermark on were read. So where it is still
// that of the log, no leader was elected since they were, and the log has them.
func (t *track) at(watermark int64) lineage {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reached >= 0 && watermark >= t.reached {
		t.window = t.latest
	}
	return t.window
}

const (
	// lineageEvery is how often the brokers are asked whether a leader was elected.
	lineageEvery = 5 * time.Second
	// lineageTries is how often they are asked at an assignment before it goes on without.
	lineageTries = 3
)

// follow keeps the tracks of the partitions true, until ctx ends.
func (g *generation) follow(ctx context.Context) {
	ticker := time.NewTicker(lineageEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		have, err := g.c.conn.lineages(ctx, g.c.cfg.Topic)
		if err != nil {
			if ctx.Err() == nil {
				g.c.trouble.about("ask for the leaders' epochs", err)
			}
			continue
		}
		for _, p := range g.partitions {
			if l, led := have[p.id]; led {
				p.track.heard(l)
			}
		}
	}
}

// lineages asks for those of a topic's partitions, as far as they have a leader.
func (c *connection) lineages(ctx context.Context, topic string) (map[int32]lineage, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	response, err := c.transport.RoundTrip(ctx, c.client.Addr, lineageRequest{topic})
	if err != nil {
		return nil, fmt.Errorf("ask for the id of topic %s: %w", topic, err)
	}
	t := response.(*lineageResponse).Topics[0]
	if t.ErrorCode != 0 {
		return nil, fmt.Errorf("ask for the id of topic %s: %w", topic, kafka.Error(t.ErrorCode))
	}
	have := make(map[int32]lineage, len(t.Partitions))
	for _, p := range t.Partitions {
		if p.ErrorCode == 0 {
			have[p.Partition] = lineage{t.TopicID, p.LeaderEpoch}
		}
	}
	return have, nil
}

// lineageRequest asks for metadata in version 12 of the protocol, which has the topic's id; kafka-go speaks version 8.
// So it goes over kafka-go's connection as it is (protocol.RawExchanger).
type lineageRequest struct{ topic string }

type lineageResponse struct{ *kmsg.MetadataResponse }

const (
	lineageVersion = 12 // since Kafka 3.1
	// maxResponse is how large an answer is believed to be: one topic has some 40 bytes for each partition and replica.
	maxResponse = 16 << 20
)

func (lineageRequest) ApiKey() protocol.ApiKey                 { return protocol.Metadata }
func (lineageResponse) ApiKey() protocol.ApiKey                { return protocol.Metadata }
func (lineageRequest) Required(map[protocol.ApiKey]int16) bool { return true }

// RawExchange is of protocol.RawExchanger. kafka-go's correlation ids begin at 1 for each connection and go up, and an
// answer is awaited before the next request is sent: 0 is none of them.
func (r lineageRequest) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	request := kmsg.NewPtrMetadataRequest()
	request.SetVersion(lineageVersion)
	request.Topics = []kmsg.MetadataRequestTopic{{Topic: &r.topic}}
	if _, err := rw.Write(kmsg.NewRequestFormatter().AppendRequest(nil, request, 0)); err != nil {
		return nil, err
	}
	return readLineages(rw)
}

func readLineages(r io.Reader) (*lineageResponse, error) {
	var head [9]byte // size, correlation id, no tags
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size < 5 || size > maxResponse || binary.BigEndian.Uint32(head[4:]) != 0 || head[8] != 0 {
		return nil, fmt.Errorf("a broker answers a request for metadata with %x", head)
	}
	body := make([]byte, size-5)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	response := kmsg.NewPtrMetadataResponse()
	response.SetVersion(lineageVersion)
	if err := response.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("a broker's metadata cannot be read: %w", err)
	}
	if len(response.Topics) != 1 {
		return nil, errors.New("a broker's metadata has not the one topic that was asked for")
	}
	return &lineageResponse{response}, nil
}
