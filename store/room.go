package store

import "time"

const (
	// roomPatience is how long the ledger waits for room on a full disk. Then it is broken: who starts the process again
	// waits longer.
	roomPatience = 5 * time.Second
	// roomLook is how often it looks.
	roomLook = 250 * time.Millisecond
	// roomEnough is with how many free bytes it goes on.
	roomEnough = 1 << 20
)

// awaitRoom is called where a write found the disk full, while all other writes wait; the write is then tried once more.
// Where the disk does not say how much room it has, it is tried again at once.
func (l *Ledger) awaitRoom() {
	free := func() (bytes uint64, known bool) {
		usage, err := l.cfg.FS.GetDiskUsage(l.cfg.Dir)
		return usage.AvailBytes, err == nil
	}
	if bytes, known := free(); !known || bytes >= roomEnough {
		return
	}
	l.metrics.full.Inc()
	l.logger.Error("ledger: its disk is full; nothing is written before there is room", "dir", l.cfg.Dir, "patience", roomPatience)
	look, over := time.NewTicker(roomLook), time.NewTimer(roomPatience)
	defer look.Stop()
	defer over.Stop()
	for began := time.Now(); ; {
		select {
		case <-look.C:
			if bytes, known := free(); !known || bytes >= roomEnough {
				l.logger.Info("ledger: there is room on its disk again", "dir", l.cfg.Dir, "waited", time.Since(began).Round(time.Millisecond))
				return
			}
		case <-over.C:
			return
		}
	}
}
