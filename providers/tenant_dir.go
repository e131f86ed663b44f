package providers

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// LoadTenants reads the tenants of a directory once, as TenantDir.Read does.
func LoadTenants(dir string) ([]Tenant, []Fault) { return NewTenantDir(dir).Read() }

// TenantDir is a directory of tenants: one from each *.yaml file, with the credentials that it names. It can be read as
// often as one likes, and reads only what changed. It is for one goroutine.
type TenantDir struct {
	dir    string
	files  map[string]*readFile // by path
	owners map[string]string    // the path that a tenant was read from last, by its name
}

// readFile is a tenant file as it was read.
type readFile struct {
	tenant  Tenant // without a name it is left out
	named   int    // the line of the name
	faults  []Fault
	files   []namedFile // the tenant's file, and those that it names
	settled bool        // no file had changed shortly before, so a later change shows in its time
}

// NewTenantDir gives a directory, of which nothing is read yet.
func NewTenantDir(dir string) *TenantDir {
	return &TenantDir{dir: filepath.Clean(dir), files: make(map[string]*readFile), owners: make(map[string]string)}
}

// Read returns the tenants, sorted by name, and every fault of every file, sorted by file and line.
//
// A credential with a fault is left out, and its tenant says so in Unusable. A fault of a file that is not about one
// credential, such as an unknown key, makes both unusable: nobody can say what was meant. A file that gives no name any
// more still stands for the tenant that it named when it was last read; one that never gave a name is left out.
func (d *TenantDir) Read() ([]Tenant, []Fault) {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, []Fault{{File: d.dir, What: fmt.Errorf("the tenants cannot be read: %w", err)}}
	}
	var faults []Fault
	var paths []string
	for _, entry := range entries {
		switch path := filepath.Join(d.dir, entry.Name()); filepath.Ext(path) {
		case ".yml":
			faults = append(faults, Fault{File: path, What: errors.New("only files that end in .yaml are read; rename it")})
		case ".yaml":
			paths = append(paths, path)
		}
	}
	d.files = d.readAll(paths)
	byName := make(map[string]Tenant, len(paths))
	for _, path := range d.ownersFirst(paths) {
		file := d.files[path]
		faults = append(faults, file.faults...)
		name := file.tenant.Name
		if first, taken := byName[name]; taken {
			faults = append(faults, Fault{File: path, Line: file.named, Key: "tenant", Tenant: name, What: fmt.Errorf("%q is in %s already: keep one of the two", name, first.File)})
		} else if name != "" {
			byName[name], d.owners[name] = file.tenant, path
		}
	}
	slices.SortStableFunc(faults, func(a, b Fault) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return slices.SortedFunc(maps.Values(byName), func(a, b Tenant) int { return strings.Compare(a.Name, b.Name) }), faults
}

// ownersFirst puts the files that tenants were read from last before all others: a copy of a tenant's file does not take
// over from it.
func (d *TenantDir) ownersFirst(paths []string) []string {
	owns := func(path string) bool { return d.owners[d.files[path].tenant.Name] == path }
	first := slices.Clone(paths)
	slices.SortStableFunc(first, func(a, b string) int {
		switch {
		case owns(a) == owns(b):
			return 0
		case owns(a):
			return -1
		}
		return 1
	})
	return first
}

// readAll reads the files that changed, several at a time: to open a .p12 takes a millisecond and more of computing.
func (d *TenantDir) readAll(paths []string) map[string]*readFile {
	results := make([]*readFile, len(paths))
	var next atomic.Int64
	var readers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(paths)) {
		readers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(paths)); i = next.Add(1) - 1 {
				if results[i] = d.files[paths[i]]; !results[i].holds() {
					results[i] = results[i].again(paths[i], time.Now())
				}
			}
		})
	}
	readers.Wait()
	files := make(map[string]*readFile, len(paths))
	for i, path := range paths {
		files[path] = results[i]
	}
	return files
}

// coarse is how much later a second change of a file has another time, on any file system.
const coarse = 2 * time.Second

// again reads a file; f is what was read of it before, or nil.
func (f *readFile) again(path string, now time.Time) *readFile {
	doc, tenant := loadTenant(path, now)
	read := &readFile{tenant: tenant, named: doc.line("tenant"), faults: doc.faults, files: doc.files, settled: true}
	if tenant.Name == "" && f != nil {
		read.tenant.Name = f.tenant.Name
	}
	for i := range read.faults {
		fault := &read.faults[i]
		fault.Tenant = read.tenant.Name
		for _, provider := range []string{APNs, FCM} {
			if (fault.Provider == "" || fault.Provider == provider) && !slices.Contains(read.tenant.Unusable, provider) {
				read.tenant.Unusable = append(read.tenant.Unusable, provider)
			}
		}
	}
	if slices.Contains(read.tenant.Unusable, APNs) {
		read.tenant.APNs = nil
	}
	if slices.Contains(read.tenant.Unusable, FCM) {
		read.tenant.FCM = nil
	}
	for _, file := range read.files {
		read.settled = read.settled && file.was != nil && now.Sub(file.was.ModTime()) > coarse
	}
	return read
}

// holds says whether a file is still what was read of it. One with a fault is always read again: what mends it may leave
// no trace here, such as a file that was missing, or time.
func (f *readFile) holds() bool {
	if f == nil || !f.settled || len(f.faults) > 0 {
		return false
	}
	for _, file := range f.files {
		is, err := os.Stat(file.path)
		if err != nil || !os.SameFile(is, file.was) || is.Size() != file.was.Size() || is.Mode() != file.was.Mode() ||
			!is.ModTime().Equal(file.was.ModTime()) {
			return false
		}
	}
	return true
}

// Folders are where a change of what was read last shows: the directory, those of the files that tenants name, and those
// of the symbolic links on the way to each, which is how whole directories of secrets are replaced at once.
func (d *TenantDir) Folders() []string {
	way := links{resolved: make(map[string]string), folders: make(map[string]bool)}
	way.folders[way.follow(d.dir, 0)] = true
	for _, file := range d.files {
		for _, named := range file.files {
			way.folders[filepath.Dir(way.follow(named.path, 0))] = true
		}
	}
	return slices.Sorted(maps.Keys(way.folders))
}

// links follows symbolic links, and notes where they stand.
type links struct {
	resolved map[string]string // by path
	folders  map[string]bool
}

// maxLinks is how many links may lead from one to the next: more are a circle.
const maxLinks = 40

// follow is where a path leads to.
func (l *links) follow(path string, depth int) string {
	if to, known := l.resolved[path]; known {
		return to
	}
	above := filepath.Dir(path)
	if above == path || depth > maxLinks {
		return path
	}
	above = l.follow(above, depth)
	to := filepath.Join(above, filepath.Base(path))
	if target, err := os.Readlink(to); err == nil {
		l.folders[above] = true
		if !filepath.IsAbs(target) {
			target = filepath.Join(above, target)
		}
		to = l.follow(target, depth+1)
	}
	l.resolved[path] = to
	return to
}
