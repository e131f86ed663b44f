package event

import (
	"bytes"
	"strings"
)

// The types of CloudEvents that pushd takes (https://cloudevents.io, version 1.0, Kafka protocol binding).
const (
	ceWake    = "io.pushd.checkin.requested.v1"
	ceCheckin = "io.pushd.checkin.started.v1"
	ceForget  = "io.pushd.device.forgotten.v1"
)

// attributes are those of a CloudEvent that pushd reads; of a bare JSON record, the trace context alone.
type attributes struct {
	cloudEvent                                bool
	specversion, id, ceType, time             value
	tenant, expirytime, priority, traceparent value
	data, dataBase64                          value // structured mode
}

func (a *attributes) at(name []byte) *value {
	switch string(name) {
	case "specversion":
		return &a.specversion
	case "id":
		return &a.id
	case "type":
		return &a.ceType
	case "time":
		return &a.time
	case "tenant":
		return &a.tenant
	case "expirytime":
		return &a.expirytime
	case "priority":
		return &a.priority
	case "traceparent":
		return &a.traceparent
	}
	return nil
}

func (a *attributes) keep(name []byte, v value) {
	switch string(name) {
	case "data":
		a.data = v
	case "data_base64":
		a.dataBase64 = v
	default:
		if at := a.at(name); at != nil {
			*at = v
		}
	}
}

// open takes the envelope off a record. What it returns is the JSON of the event: the value itself, or the data of
// the CloudEvent, nil where there is none.
func (a *attributes) open(value []byte, headers []Header) ([]byte, *Error) {
	structured, fault := a.headers(headers)
	if fault != nil || !structured {
		return value, fault
	}
	if value == nil {
		a.cloudEvent = false // what is not there has no attributes
		return nil, nil
	}
	if fault := scanObject(value, a.keep); fault != nil {
		return nil, fault
	}
	if a.dataBase64.given() {
		return nil, &Error{BadField, "data_base64", "pushd reads JSON; write the event as an object in data"}
	}
	switch a.data.kind {
	case absent, null:
		return nil, nil
	case object:
		return a.data.raw, nil
	}
	return nil, &Error{BadField, "data", "is " + kindNames[a.data.kind] + "; write the event as an object"}
}

// headers reads what the headers say, and whether the CloudEvent is in the value instead (structured mode).
func (a *attributes) headers(headers []Header) (structured bool, fault *Error) {
	var trace value
	for i := range headers {
		h := &headers[i]
		v := value{kind: text, raw: h.Value}
		if h.Value == nil {
			v.kind = null
		}
		if name, ok := strings.CutPrefix(h.Key, "ce_"); ok {
			a.cloudEvent = true
			if at := a.at([]byte(name)); at != nil {
				*at = v
			}
		} else if h.Key == "traceparent" {
			trace = v
		} else if strings.EqualFold(h.Key, "content-type") {
			structured, fault = isStructured(h.Value)
			if fault != nil {
				return false, fault
			}
		}
	}
	if structured {
		*a = attributes{cloudEvent: true} // the content type decides; ce_ headers beside it say nothing
	}
	a.traceparent = a.traceparent.or(trace)
	return structured, nil
}

// isStructured judges only what calls itself a CloudEvent: whatever else a publisher's library writes into
// content-type, the value must be JSON anyway.
func isStructured(contentType []byte) (bool, *Error) {
	const prefix = "application/cloudevents"
	mediaType, _, _ := bytes.Cut(contentType, []byte(";"))
	mediaType = bytes.TrimSpace(mediaType)
	if len(mediaType) < len(prefix) || !bytes.EqualFold(mediaType[:len(prefix)], []byte(prefix)) {
		return false, nil
	}
	if bytes.EqualFold(mediaType[len(prefix):], []byte("+json")) {
		return true, nil
	}
	return false, &Error{UnsupportedFormat, "content-type",
		"a CloudEvents format that pushd does not read; write application/cloudevents+json with one event, or ce_ headers"}
}

// cloudEvent is the type that the CloudEvent says; not ok where the record is none, or a wrong one.
func (r *reader) cloudEvent(a *attributes) (t Type, ok bool) {
	if !a.cloudEvent {
		return Wake, false
	}
	switch version := r.word("ce_specversion", a.specversion); {
	case version == nil:
		r.missing("ce_specversion", `write "1.0"`)
	case string(version) != "1.0":
		r.fail(&Error{UnknownVersion, "ce_specversion", `pushd does not know it; write "1.0"`})
	}
	name := r.word("ce_type", a.ceType)
	for t, known := range [...]string{Wake: ceWake, Checkin: ceCheckin, Forget: ceForget} {
		if string(name) == known {
			return Type(t), true
		}
		if base := strings.TrimSuffix(known, "1"); strings.HasPrefix(string(name), base) {
			r.fail(&Error{UnknownVersion, "ce_type", "pushd reads " + known + "; write that, or update pushd"})
		}
	}
	if name == nil {
		r.missing("ce_type", "write "+ceWake)
	}
	r.fail(&Error{UnknownType, "ce_type", "pushd does not know it; write " + ceWake + ", " + ceCheckin + " or " + ceForget})
	return Wake, false
}
