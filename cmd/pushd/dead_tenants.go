package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"pushd/providers"
	"pushd/queue/event"
)

// tenantFiles says who has a credential, as far as tenants.dir can be read: the daemon may run on another machine, or as
// another user.
type tenantFiles struct {
	dir    string
	looked bool
	known  bool // byName is all that the daemon would find
	byName map[string]providers.Tenant
}

// lacks says of an event that the daemon would make a dead letter of it again, because nobody has a credential for it. A
// credential with a fault is one: the daemon lets its wakes wait.
func (f *tenantFiles) lacks(e *event.Event) error {
	if e.Type != event.Wake {
		return nil
	}
	if !f.looked {
		f.look()
	}
	tenant := f.byName[e.Tenant]
	if !f.known || tenant.CredentialID(e.Provider) != "" || slices.Contains(tenant.Unusable, e.Provider) {
		return nil
	}
	return fmt.Errorf("tenants.dir (%s) has no credential for %s of tenant %q; add it to the tenant's file and wait until pushd has read it, or give the --tenants.dir that pushd reads",
		f.dir, e.Provider, e.Tenant)
}

// look reads the directory. Where there is no tenant at all, or the file of one must not be read here, it says nothing of
// what the daemon has.
func (f *tenantFiles) look() {
	f.looked, f.byName = true, map[string]providers.Tenant{}
	list, faults := providers.LoadTenants(f.dir)
	for _, tenant := range list {
		f.byName[tenant.Name] = tenant
	}
	f.known = len(list) > 0 && !slices.ContainsFunc(faults, func(fault providers.Fault) bool {
		return fault.Tenant == "" && errors.Is(fault, fs.ErrPermission)
	})
}
