package queue

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// FuzzLineages: an answer of a broker is of exactly one topic, and written and read again is the same; or it is refused.
func FuzzLineages(f *testing.F) {
	name := "pushd.checkin"
	response := kmsg.NewPtrMetadataResponse()
	response.SetVersion(lineageVersion)
	response.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 1, Host: "localhost", Port: 9092}}
	topic := kmsg.NewMetadataResponseTopic()
	topic.Topic, topic.TopicID = &name, [16]byte{1, 2, 3}
	partition := kmsg.NewMetadataResponseTopicPartition()
	partition.Leader, partition.LeaderEpoch, partition.Replicas = 1, 7, []int32{1}
	topic.Partitions = []kmsg.MetadataResponseTopicPartition{partition}
	response.Topics = []kmsg.MetadataResponseTopic{topic}
	framed := func(r *kmsg.MetadataResponse) []byte {
		body := r.AppendTo(make([]byte, 9))
		binary.BigEndian.PutUint32(body, uint32(len(body)-4))
		return body
	}
	f.Add(framed(response))
	f.Add(framed(response)[:20])
	response.Topics = nil
	f.Add(framed(response))
	f.Fuzz(func(t *testing.T, answer []byte) {
		got, err := readLineages(bytes.NewReader(answer))
		if err != nil {
			return
		}
		if len(got.Topics) != 1 {
			t.Fatalf("%d topics", len(got.Topics))
		}
		again, err := readLineages(bytes.NewReader(framed(got.MetadataResponse)))
		if err != nil || !reflect.DeepEqual(again.Topics, got.Topics) {
			t.Errorf("%+v is read as %+v, %v", got.Topics, again, err)
		}
	})
}
