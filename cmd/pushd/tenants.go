package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"pushd/dispatcher"
	"pushd/providers"
)

// TenantsConfig says where the tenants' files are, and what becomes of faults in them.
type TenantsConfig struct {
	Dir    string        `name:"dir" help:"Directory of the tenants' files: one YAML file for each customer, which names its credentials. They are watched and read again when they change." default:"tenants" placeholder:"DIR"`
	Strict bool          `name:"strict" help:"Refuse to start, and to take any change, while any tenant's file has a fault. Otherwise a faulty credential keeps only its own wakes waiting, and the one in use stays." default:"false"`
	Poll   time.Duration `name:"poll" help:"How often the tenants' files are looked at anyway: the net for file systems that tell of no changes, such as NFS. 1s to 1h." default:"30s"`
}

// DefaultTenantsConfig is what the struct tags say.
func DefaultTenantsConfig() TenantsConfig {
	return TenantsConfig{Dir: "tenants", Poll: 30 * time.Second}
}

// Validate returns all faults; it does not look at the directory.
func (c TenantsConfig) Validate() error {
	var faults []error
	if c.Dir == "" {
		faults = append(faults, errors.New("tenants.dir: is empty; name the directory of the tenants' files"))
	}
	if c.Poll < time.Second || c.Poll > time.Hour {
		faults = append(faults, fmt.Errorf("tenants.poll: %v is not between 1s and 1h", c.Poll))
	}
	return errors.Join(faults...)
}

// errNoTenant is the fault of an empty directory.
var errNoTenant = errors.New("there is no tenant; put one YAML file for each there (docs/tenants.md)")

// isDir says whether a fault is the directory's, and not a file's in it.
func (c TenantsConfig) isDir(f providers.Fault) bool { return f.File == filepath.Clean(c.Dir) }

// dirFault is a fault of the directory as one of the setting that names it, with what to do.
func (c TenantsConfig) dirFault(f providers.Fault) error {
	if errors.Is(f.What, fs.ErrNotExist) {
		meant := "" // where the path begins is not for everybody to see
		if whole, err := filepath.Abs(c.Dir); err == nil && !filepath.IsAbs(c.Dir) {
			meant = fmt.Sprintf(" (%s, as a relative path begins in the working directory)", whole)
		}
		return fmt.Errorf("tenants.dir: %s: there is no such directory%s; make it and put one YAML file for each tenant there (docs/tenants.md), or name another", c.Dir, meant)
	}
	return fmt.Errorf("tenants.dir: %s: %w", c.Dir, f.What)
}

// below are the folders of the directory with YAML files in them. Those are not read, which whoever put them there may not
// know; hidden folders are those by which Kubernetes replaces all files at once.
func (c TenantsConfig) below() []string {
	files, _ := filepath.Glob(filepath.Join(c.Dir, "[^.]*", "*.yaml")) // it fails for a directory with a bracket in its name only
	for i := range files {
		files[i] = filepath.Dir(files[i])
	}
	return slices.Compact(files)
}

// tenants are the customers in force, and what was wrong with their files when they were last read. Any goroutine may
// ask; only one reads the files.
//
//	files ──read──▶ tenants, faults ──a faulty credential keeps the one in use──▶ in force
type tenants struct {
	cfg     TenantsConfig
	log     *slog.Logger
	files   *providers.TenantDir
	inForce atomic.Pointer[map[string]providers.Tenant] // by name
	faults  atomic.Pointer[[]providers.Fault]
}

// readTenants reads the tenants for the first time. An error lists everything that is wrong.
func readTenants(cfg TenantsConfig, log *slog.Logger) (*tenants, error) {
	t := &tenants{cfg: cfg, log: log, files: providers.NewTenantDir(cfg.Dir)}
	began := time.Now()
	list, faults := t.files.Read()
	all := make([]fault, 0, len(faults))
	for _, f := range faults {
		if cfg.isDir(f) {
			return nil, &faultsError{faults: []fault{{what: cfg.dirFault(f).Error()}}}
		}
		all = append(all, tenantFault(f))
	}
	if !slices.ContainsFunc(list, usable) {
		all = append(all, fault{key: "tenants.dir", what: cfg.Dir + ": there is no tenant with a usable credential; put one YAML file for each there (docs/tenants.md)"})
		return nil, &faultsError{faults: all}
	}
	if len(faults) > 0 && cfg.Strict {
		return nil, &faultsError{faults: all}
	}
	inForce := make(map[string]providers.Tenant, len(list))
	for _, tenant := range list {
		inForce[tenant.Name] = tenant
	}
	t.inForce.Store(&inForce)
	t.tell(faults)
	for _, folder := range cfg.below() {
		log.Warn("the files of a folder are not read: only those in tenants.dir itself are tenants'", "folder", folder)
	}
	log.Info("tenants loaded", "tenants", len(list), "faults", len(faults), "took", time.Since(began))
	return t, nil
}

func usable(t providers.Tenant) bool { return t.APNs != nil || t.FCM != nil }

func (t *tenants) find(name string) (providers.Tenant, bool) {
	tenant, ok := (*t.inForce.Load())[name]
	return tenant, ok
}

// reload is what came of reading the files again.
type reload struct {
	roads  []dispatcher.Road // whose credential or limits are others now
	faults int
	news   bool // something is not as it was when they were last read
}

// again reads the files again and puts in force what they say, as far as it can be used: a faulty credential does not
// replace one that is in use. A directory that cannot be read, or has no tenant any more, was not meant; nor was, where
// tenants.strict is set, anything with a fault. Then all stays as it is.
func (t *tenants) again() reload {
	list, faults := t.files.Read()
	if len(list) == 0 && len(faults) == 0 {
		faults = []providers.Fault{{File: filepath.Clean(t.cfg.Dir), What: errors.New("there is no tenant any more; put their files back")}}
	}
	result := reload{faults: len(faults)}
	before := *t.inForce.Load()
	refused := len(list) == 0 || t.cfg.Strict && len(faults) > 0
	if !refused {
		after := make(map[string]providers.Tenant, len(list))
		for _, tenant := range list {
			after[tenant.Name] = keeping(tenant, before[tenant.Name])
		}
		result.roads = changed(before, after)
		t.inForce.Store(&after)
		t.tellChanges(before, after, result.roads)
	}
	result.news = t.tell(faults) || len(result.roads) > 0
	return result
}

// keeping is a tenant as its file has it now, with the credentials in use instead of faulty ones. Where no credential can
// be used, all of the file is in doubt, and the limits stay too.
func keeping(now, inUse providers.Tenant) providers.Tenant {
	if !usable(now) && usable(inUse) {
		now.Rate, now.InFlight, now.Weight = inUse.Rate, inUse.InFlight, inUse.Weight
	}
	var unusable []string
	for _, provider := range now.Unusable {
		switch provider {
		case providers.APNs:
			now.APNs = inUse.APNs
		case providers.FCM:
			now.FCM = inUse.FCM
		}
		if now.CredentialID(provider) == "" {
			unusable = append(unusable, provider)
		}
	}
	now.Unusable = unusable
	return now
}

// changed are the roads whose credential or limits differ.
func changed(before, after map[string]providers.Tenant) []dispatcher.Road {
	both := maps.Clone(after)
	maps.Copy(both, before)
	var roads []dispatcher.Road
	for _, name := range slices.Sorted(maps.Keys(both)) {
		a, b := before[name], after[name]
		limits := a.Rate != b.Rate || a.InFlight != b.InFlight || a.Weight != b.Weight
		for _, provider := range []string{providers.APNs, providers.FCM} {
			held := slices.Contains(a.Unusable, provider) != slices.Contains(b.Unusable, provider)
			id := b.CredentialID(provider)
			if held || id != a.CredentialID(provider) || limits && id != "" {
				roads = append(roads, dispatcher.Road{Tenant: name, Provider: provider})
			}
		}
	}
	return roads
}

// roads are all credentials in force.
func (t *tenants) roads() []dispatcher.Road { return changed(nil, *t.inForce.Load()) }

// tellChanges logs what each change means.
func (t *tenants) tellChanges(before, after map[string]providers.Tenant, roads []dispatcher.Road) {
	for _, road := range roads {
		log := t.log.With("tenant", road.Tenant, "provider", road.Provider)
		was, is := before[road.Tenant], after[road.Tenant]
		switch old, id := was.CredentialID(road.Provider), is.CredentialID(road.Provider); {
		case id != "" && id != old:
			log.Info("a new credential is in use", "credential", id, "before", old)
		case id != "":
			log.Info("the limits of a credential changed", "rate", is.Rate, "in_flight", is.InFlight, "weight", is.Weight)
		case old != "":
			log.Warn("a credential is gone: wakes that wait for it are held, new events become dead letters; put it back into the tenant's file to go on",
				"file", was.File)
		}
	}
}

// tell logs the faults that are not known yet, each with what it means, and says whether they differ from the last ones.
func (t *tenants) tell(faults []providers.Fault) (news bool) {
	known := make(map[string]bool)
	if last := t.faults.Load(); last != nil {
		for _, f := range *last {
			known[f.Error()] = true
		}
		news = len(*last) != len(faults)
	}
	t.faults.Store(&faults)
	for _, f := range faults {
		if known[f.Error()] {
			continue
		}
		news = true
		t.log.Error(t.meaning(f), "fault", f, "tenant", f.Tenant)
	}
	return news
}

// meaning is what a fault has for a consequence, and what mends it.
func (t *tenants) meaning(f providers.Fault) string {
	tenant, _ := t.find(f.Tenant)
	switch {
	case t.cfg.isDir(f):
		return "there are no tenants to be read: all stays in use as it was"
	case t.cfg.Strict:
		return "a tenant's file has a fault, and tenants.strict is set: no change is taken until it is mended"
	case f.Tenant == "":
		return "a tenant's file is left out: its events are dead letters until it is mended"
	case f.Provider == "" && usable(tenant), f.Provider != "" && tenant.CredentialID(f.Provider) != "":
		return "a tenant's file has a fault: the credential in use stays until it is mended"
	}
	return "a tenant's file has a fault: wakes for its credential are held until it is mended"
}

// ready is the row of /readyz. A fault of one tenant's does not stop the others' work, so it is a note only.
func (t *tenants) ready() (ok bool, note string) {
	faults := *t.faults.Load()
	if len(faults) == 0 {
		return true, ""
	}
	return true, fmt.Sprintf("%s in the tenants' files, such as %v", plural(len(faults), "fault", "faults"), faults[0])
}
