package simulator

import "golang.org/x/net/http2"

// The frames that control a connection: SETTINGS, PING, WINDOW_UPDATE and RST_STREAM.

func (c *conn) onSettings(f *http2.SettingsFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.IsAck() {
		if len(c.unacked) > 0 {
			c.acked = c.unacked[0]
			c.unacked = c.unacked[1:]
		}
		return nil
	}
	err := f.ForeachSetting(func(s http2.Setting) error {
		if err := s.Valid(); err != nil {
			return err
		}
		if s.ID != http2.SettingInitialWindowSize {
			return nil // frame size: bodies are smaller than the least; table size: no table is used
		}
		delta := int64(s.Val) - c.peerWindow
		c.peerWindow = int64(s.Val)
		for _, st := range c.streams {
			st.sendWindow += delta
		}
		c.sendStarved()
		return nil
	})
	if err != nil {
		return err
	}
	if !c.conduct.NoSettings {
		c.written(c.framer.WriteSettingsAck())
	}
	return nil
}

func (c *conn) onPing(f *http2.PingFrame) error {
	if f.IsAck() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written(c.framer.WritePing(true, f.Data))
	return nil
}

func (c *conn) onWindowUpdate(f *http2.WindowUpdateFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	const maxWindow = 1<<31 - 1
	if f.StreamID == 0 {
		if c.sendWindow += int64(f.Increment); c.sendWindow > maxWindow {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
		c.sendStarved()
		return nil
	}
	st := c.streams[f.StreamID]
	if st == nil {
		if f.StreamID > c.lastID {
			return http2.ConnectionError(http2.ErrCodeProtocol) // RFC 9113, section 5.1: the stream is idle
		}
		return nil
	}
	if st.sendWindow += int64(f.Increment); st.sendWindow > maxWindow {
		c.reset(st.id, http2.ErrCodeFlowControl)
		return nil
	}
	c.sendStarved()
	return nil
}

func (c *conn) onReset(f *http2.RSTStreamFrame) error {
	if f.StreamID > c.lastID {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if st := c.streams[f.StreamID]; st != nil {
		c.srv.stats.resets.Add(1)
		c.removeStream(st)
	}
	return nil
}
