package main

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pushd/loadtest/mixture"
	"pushd/providers/simulator"
)

// rewrite replaces a file at once.
func rewrite(t *testing.T, path, content string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path+".new", []byte(content), 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

// withDevices are the tenants of a load that have a topic, and with it Apple devices.
func withDevices(load *mixture.Mixture) []mixture.Tenant {
	return slices.DeleteFunc(slices.Clone(load.Tenants), func(t mixture.Tenant) bool { return t.Topic == "" })
}

func TestRatesAndCertificatesChangeUnderLoadAndNothingIsLost(t *testing.T) {
	t.Parallel()
	p := embeddedPlay(t, 5000, 4)
	config := file(t, "rates:\n  total: 1\n")
	daemon := p.daemon("daemon", "--config="+config)
	p.publish(p.load.Records, 0)
	p.accepted(2)

	// At one push per second the load would take an hour.
	rewrite(t, config, "rates:\n  total: 150\nmerge:\n  give_up: 12h\n  interval: 3s\n")
	daemon.hangUp(t)
	p.accepted(150)
	if line := daemon.said("new rates are in force"); !strings.Contains(line, "rates.total=150") {
		t.Errorf("of the new rate it says %q", line)
	}
	// merge.interval is given by a flag, which goes before the file now as it did at the start.
	if line := daemon.said("take effect at the next start"); !strings.HasSuffix(line, "settings=merge.give_up") {
		t.Errorf("of a setting that cannot change it says %q", line)
	}

	rewrite(t, config, "rates:\n  total: fast\n  apns: -1\n")
	daemon.hangUp(t)
	p.eventually("the faults are told", func() bool {
		return strings.Contains(daemon.said("rates.total"), config+":2") && strings.Contains(daemon.said("rates.apns"), config+":3")
	})
	if got := daemon.metric(t, "pushd_config_last_reload_successful"); got != 0 {
		t.Errorf("with a faulty configuration, pushd_config_last_reload_successful is %v", got)
	}

	renewed := map[string]time.Time{} // by serial number
	for _, tenant := range withDevices(p.load) {
		serial, err := p.stage.Renew(tenant, simulator.PushOptions{})
		if err != nil {
			t.Fatal(err)
		}
		renewed[serial] = time.Now()
	}
	p.eventually("each new certificate is seen", func() bool {
		for serial := range renewed {
			if p.stage.Seen(serial).IsZero() {
				return false
			}
		}
		return true
	})
	if p.pending() == 0 {
		t.Error("the load was over already")
	}
	slowest := time.Duration(0)
	for serial, at := range renewed {
		slowest = max(slowest, p.stage.Seen(serial).Sub(at))
	}
	t.Logf("%d certificates were replaced, the last was seen after %v", len(renewed), slowest)

	rewrite(t, config, "rates:\n  total: 0\n")
	daemon.hangUp(t)
	p.settled(len(p.load.Records))
	p.balanced(daemon)
	p.judge(0)
	if got := daemon.metric(t, "pushd_config_last_reload_successful"); got != 1 {
		t.Errorf("with a mended configuration, pushd_config_last_reload_successful is %v", got)
	}
	daemon.stop(t)
}

func TestATenantWithAnExpiredCertificateIsHeldUntilItIsMended(t *testing.T) {
	t.Parallel()
	p := embeddedPlay(t, 1000, 5)
	tenant := withDevices(p.load)[0]
	if _, err := p.stage.Renew(tenant, simulator.PushOptions{NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	daemon := p.daemon("daemon")
	p.publish(p.load.Records, 0)
	p.eventually("wakes are held, and nothing else waits", func() bool {
		return daemon.metric(t, "pushd_holds") > 0 && daemon.metric(t, "pushd_holds") >= float64(p.pending()) && p.server.Audit.Published() == len(p.load.Records)
	})
	if line := daemon.said("wakes for its credential are held"); !strings.Contains(line, tenant.Name+".yaml:3") || !strings.Contains(line, "expired at") {
		t.Errorf("of the fault it says %q", line)
	}
	if status, body := daemon.ask(t, "/readyz"); status != 200 || !strings.Contains(body, "1 fault in the tenants' files, such as ") {
		t.Errorf("/readyz: %d %s", status, body)
	}
	if got := daemon.metric(t, "pushd_tenant_faults"); got != 1 {
		t.Errorf("pushd_tenant_faults is %v", got)
	}
	if _, err := p.stage.Renew(tenant, simulator.PushOptions{}); err != nil {
		t.Fatal(err)
	}
	p.settled(len(p.load.Records))
	p.balanced(daemon)
	p.judge(0)
	if got := daemon.metric(t, "pushd_holds") + daemon.metric(t, "pushd_tenant_faults"); got != 0 {
		t.Errorf("%v holds or faults are left", got)
	}
	daemon.stop(t)
}

func TestATenantThatVanishesLeavesDeadLettersUntilItReturns(t *testing.T) {
	t.Parallel()
	p := embeddedPlay(t, 2000, 6)
	tenant := withDevices(p.load)[0]
	path := filepath.Join(p.stage.TenantsDir, tenant.Name+".yaml")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const unknown = `pushd_dlq_records_total{reason="unknown_tenant"}`
	// Three thirds, each of the whole mixture, so that none stands on what another left of a device.
	third := map[int][]mixture.Record{}
	for i, r := range p.load.Records {
		if strings.HasPrefix(r.Device, tenant.Name+"/") {
			n := i * 3 / len(p.load.Records)
			third[n] = append(third[n], r)
		}
	}
	daemon := p.daemon("daemon")
	p.publish(third[0], 0)
	p.eventually("the tenant's wakes are pushed", func() bool { return p.stage.Accepted() > 0 && p.pending() == 0 })

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	p.eventually("the tenant is missed", func() bool { return daemon.said("a credential is gone") != "" })
	p.publish(third[1], 0)
	p.eventually("its events are dead letters", func() bool { return daemon.metric(t, unknown) > 0 })
	p.quiet()
	dead, pushed := daemon.metric(t, unknown), p.stage.Accepted()

	rewrite(t, path, string(content))
	p.eventually("the tenant is back", func() bool { return strings.Contains(daemon.said("a new credential is in use"), tenant.Name) })
	p.publish(third[2], 0)
	p.eventually("its wakes are pushed again", func() bool { return p.stage.Accepted() > pushed })
	p.quiet()
	if now := daemon.metric(t, unknown); now != dead {
		t.Errorf("%v dead letters more after its return", now-dead)
	}
	p.balanced(daemon)
	daemon.stop(t)
}

func TestAFolderWatchSeesEveryWayInWhichAFileIsReplaced(t *testing.T) {
	t.Parallel()
	write := func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) }
	other := func(dir string) string { return filepath.Join(filepath.Dir(dir), "other") }
	ways := map[string]struct{ arrange, replace func(dir string) error }{
		"in place": {
			func(dir string) error { return write(dir + "/file") },
			func(dir string) error { return write(dir + "/file") },
		},
		"by rename": {
			func(dir string) error { return errors.Join(write(dir+"/file"), write(other(dir))) },
			func(dir string) error { return os.Rename(other(dir), dir+"/file") },
		},
		"by another mode": {
			func(dir string) error { return write(dir + "/file") },
			func(dir string) error { return os.Chmod(dir+"/file", 0o400) },
		},
		"by the swap of a link": {
			func(dir string) error { return os.Symlink("1", dir+"/data") },
			func(dir string) error {
				return errors.Join(os.Symlink("2", other(dir)), os.Rename(other(dir), dir+"/data"))
			},
		},
		"with its folder": {
			func(dir string) error { return errors.Join(write(dir+"/file"), os.Mkdir(other(dir), 0o700)) },
			func(dir string) error {
				return errors.Join(os.Rename(dir, dir+"-old"), os.Rename(other(dir), dir))
			},
		},
		"for good": {
			func(dir string) error { return write(dir + "/file") },
			func(dir string) error { return os.Remove(dir + "/file") },
		},
	}
	for _, name := range slices.Sorted(maps.Keys(ways)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "folder")
			if err := errors.Join(os.Mkdir(dir, 0o700), ways[name].arrange(dir)); err != nil {
				t.Fatal(err)
			}
			w := newFolderWatch(slog.New(slog.DiscardHandler))
			defer w.close()
			for round := range 2 { // the second time with what is there after the first
				if fresh := w.on([]string{dir}); fresh != (round == 0 || name == "with its folder") {
					t.Errorf("round %d: the folder is fresh: %v", round, fresh)
				}
				if round == 1 {
					if err := write(dir + "/another"); err != nil {
						t.Fatal(err)
					}
				} else if err := ways[name].replace(dir); err != nil {
					t.Fatal(err)
				}
				awaitChange(t, w)
			}
			w.on(nil)
			if left := w.watcher.WatchList(); len(left) > 0 {
				t.Errorf("%v are still watched", left)
			}
		})
	}
}

func TestAFolderOfTwoNamesIsWatchedOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "folder")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w := newFolderWatch(slog.New(slog.DiscardHandler))
	defer w.close()
	names := []string{dir, dir + "/../folder"}
	for round := range 3 {
		if fresh := w.on(names); fresh != (round == 0) {
			t.Errorf("round %d: fresh %v", round, fresh)
		}
		if err := os.WriteFile(dir+"/file", []byte{byte(round)}, 0o600); err != nil {
			t.Fatal(err)
		}
		awaitChange(t, w)
	}
}

func TestAFolderWhoseParentIsReplacedIsWatchedAnew(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	tenants := root + "/conf/tenants"
	if err := errors.Join(os.MkdirAll(tenants, 0o700), os.MkdirAll(root+"/new/tenants", 0o700)); err != nil {
		t.Fatal(err)
	}
	w := newFolderWatch(slog.New(slog.DiscardHandler))
	defer w.close()
	w.on([]string{tenants})
	if err := errors.Join(os.Rename(root+"/conf", root+"/old"), os.Rename(root+"/new", root+"/conf")); err != nil {
		t.Fatal(err)
	}
	if !w.on([]string{tenants}) {
		t.Error("the new folder is taken for the old one")
	}
	if err := os.WriteFile(tenants+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	awaitChange(t, w)
}

// awaitChange waits for a change, and for the end of those that come with it.
func awaitChange(t *testing.T, w *folderWatch) {
	t.Helper()
	select {
	case <-w.changes():
	case err := <-w.errors():
		t.Fatal(err)
	case <-time.After(patience):
		t.Fatal("no change is told")
	}
	for {
		select {
		case <-w.changes():
		case <-time.After(poll):
			return
		}
	}
}

func TestWhatIsNoSettingOfTheCommandLineIsReadAgainAsAtTheStart(t *testing.T) {
	t.Parallel()
	path := file(t, "rates:\n  total: 1\n  apns: 1\n  fcm: 1\n")
	env := map[string]string{"PUSHD_RATES_FCM": "2"}
	p := &process{
		args:   []string{"run", "--config", path, "--rates.apns=3"},
		getenv: func(name string) (string, bool) { value, ok := env[name]; return value, ok },
	}
	rewrite(t, path, "rates:\n  total: 5\n  apns: 5\n  fcm: 5\n")
	cfg, err := p.configAgain()
	if err != nil {
		t.Fatal(err)
	}
	if r := cfg.Engine.Rates; fmt.Sprint(r.Total, r.APNs, r.FCM) != "5 3 2" {
		t.Errorf("total, apns and fcm are %v, %v, %v", r.Total, r.APNs, r.FCM)
	}
	rewrite(t, path, "rates:\n  total: -1\nstore:\n  history: x\n")
	var faulty *faultsError
	if _, err := p.configAgain(); !errors.As(err, &faulty) || len(faulty.faults) != 2 {
		t.Errorf("a faulty file gives %v", err)
	}
}
