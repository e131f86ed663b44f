package http2

import (
	"encoding/binary"

	"golang.org/x/net/http2"
)

// referee sees what goes both ways over a connection, and holds the client to the server's limits, as a server does that
// forgives nothing. SETTINGS are in force when they are acknowledged, what else the server sends when it is sent.
type referee struct {
	faults func(format string, args ...any)
	table  *inspector // of headers

	told    [][]http2.Setting // SETTINGS that are not acknowledged yet
	greeted bool              // the first are
	limit   uint32
	initial int64
	window  int64 // of the connection
	streams map[uint32]*refereed
	open    uint32
	last    uint32 // stream that the client opened
	goAway  bool   // from here on streams end unseen
}

// refereed is a stream.
type refereed struct {
	window       int64
	ours, theirs bool // the client, the server has ended it
}

func newReferee(table *inspector, faults func(string, ...any)) *referee {
	return &referee{faults: faults, table: table, limit: 1<<32 - 1, initial: defaultWindow, window: defaultWindow, streams: make(map[uint32]*refereed)}
}

// sends sees frames of the server. Those that are no whole frames are not its matter.
func (r *referee) sends(b []byte) {
	for len(b) >= frameHeader && len(b) >= frameHeader+frameLength(b) {
		f := b[:frameHeader+frameLength(b)]
		b = b[len(f):]
		kind, flags, id, payload := http2.FrameType(f[3]), http2.Flags(f[4]), binary.BigEndian.Uint32(f[5:])&(1<<31-1), f[frameHeader:]
		switch {
		case kind == http2.FrameSettings && !flags.Has(http2.FlagSettingsAck):
			var told []http2.Setting
			for s := payload; len(s) >= 6; s = s[6:] {
				told = append(told, http2.Setting{ID: http2.SettingID(binary.BigEndian.Uint16(s)), Val: binary.BigEndian.Uint32(s[2:])})
			}
			r.told = append(r.told, told)
		case kind == http2.FrameWindowUpdate && len(payload) == 4:
			n := int64(binary.BigEndian.Uint32(payload))
			if st := r.streams[id]; st != nil {
				st.window += n
			} else if id == 0 {
				r.window += n
			}
		case kind == http2.FrameRSTStream:
			r.ends(id, true, true)
		case kind == http2.FrameGoAway:
			r.goAway = true
		case kind == http2.FrameHeaders && flags.Has(http2.FlagHeadersEndStream), kind == http2.FrameData && flags.Has(http2.FlagDataEndStream):
			r.ends(id, false, true)
		}
	}
}

// ends notes who has ended a stream; it is closed when both have.
func (r *referee) ends(id uint32, ours, theirs bool) {
	st := r.streams[id]
	if st == nil {
		return
	}
	st.ours, st.theirs = st.ours || ours, st.theirs || theirs
	if st.ours && st.theirs {
		delete(r.streams, id)
		r.open--
	}
}

// hears sees a frame of the client.
func (r *referee) hears(f *frame) {
	switch f.Type {
	case http2.FrameSettings:
		if f.Flags.Has(http2.FlagSettingsAck) {
			r.acknowledged()
		}
	case http2.FrameHeaders:
		r.opens(f.StreamID)
	case http2.FrameData:
		n := int64(len(f.payload))
		st := r.streams[f.StreamID]
		if r.window -= n; n > 0 && r.window < 0 {
			r.faults("%v goes %d bytes beyond the connection's window", f, -r.window)
		}
		if st == nil {
			return // the server closed it meanwhile
		}
		if st.window -= n; n > 0 && st.window < 0 {
			r.faults("%v goes %d bytes beyond its window", f, -st.window)
		}
		if st.ours {
			r.faults("%v after the end of its stream", f)
		}
		if f.Flags.Has(http2.FlagDataEndStream) {
			r.ends(f.StreamID, true, false)
		}
	case http2.FrameRSTStream:
		r.ends(f.StreamID, true, true)
	}
}

func (r *referee) acknowledged() {
	if len(r.told) == 0 {
		r.faults("SETTINGS are acknowledged that were not sent")
		return
	}
	for _, s := range r.told[0] {
		switch s.ID {
		case http2.SettingMaxConcurrentStreams:
			r.limit = s.Val
		case http2.SettingInitialWindowSize:
			for _, st := range r.streams {
				st.window += int64(s.Val) - r.initial
			}
			r.initial = int64(s.Val)
		case http2.SettingHeaderTableSize:
			r.table.resize(s.Val)
		}
	}
	r.told, r.greeted = r.told[1:], true
}

func (r *referee) opens(id uint32) {
	if id%2 == 0 || id <= r.last {
		r.faults("stream %d is opened after %d", id, r.last)
	}
	r.last = id
	r.streams[id] = &refereed{window: r.initial}
	switch r.open++; {
	case !r.greeted:
		r.faults("stream %d is opened before SETTINGS", id)
	case r.open > r.limit && !r.goAway:
		r.faults("stream %d makes %d, and %d are allowed", id, r.open, r.limit)
	}
}
