package main

import (
	"errors"
	"io/fs"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Settings is the configuration as a command takes it: from flags, the environment, a file and the defaults, the earlier
// going before the later. A command embeds it; when its Run is called, Config is complete and valid.
type Settings struct {
	ConfigFile string `name:"config" short:"c" help:"YAML file with the settings below. The environment goes before it (PUSHD_MERGE_INTERVAL is --merge.interval), flags go before both." placeholder:"FILE"`
	Config     `embed:""`

	sources *sources // set while the command line is parsed
}

// sources are where values come from, below the flags. It is a kong.Resolver.
type sources struct {
	known  *catalogue
	getenv func(string) (string, bool)
	file   *configFile // without values where no file was named
	faults []fault     // what cannot be read of the file, the environment and the flags
	flags  map[string]bool
}

// commandLine is where a flag's value comes from.
const commandLine = "command line"

// BeforeReset is called by kong before it sets the settings: what is no setting has its default too.
func (s *Settings) BeforeReset() error {
	s.Config = DefaultConfig()
	return nil
}

// BeforeResolve is called by kong when the flags are known and the rest is not.
func (s *Settings) BeforeResolve(ctx *kong.Context, p *process) error {
	known := newCatalogue()
	s.sources = &sources{known: known, getenv: p.getenv, file: &configFile{}, flags: map[string]bool{}}
	path := ""
	for _, element := range ctx.Path {
		if element.Flag == nil {
			continue
		}
		s.sources.flags[element.Flag.Name] = true
		if element.Flag.Name == "config" {
			path = ctx.FlagValue(element.Flag).(string)
		}
	}
	if path == "" {
		path, _ = p.getenv("PUSHD_CONFIG")
	}
	if path != "" {
		s.sources.file = openConfigFile(path, known)
	}
	s.sources.faults = slices.Concat(s.sources.file.faults, s.sources.envFaults(), p.flagFaults)
	ctx.AddResolver(s.sources)
	return nil
}

// envFaults are the variables whose values cannot be read.
func (s *sources) envFaults() []fault {
	var faults []fault
	for _, flag := range s.known.order {
		if value, ok := s.env(flag.Name); ok {
			if err := s.known.decode(flag.Name, value); err != nil {
				faults = append(faults, fault{where: envName(flag.Name), key: flag.Name, what: err.Error()})
			}
		}
	}
	return faults
}

// env is the environment's value of a setting. An empty variable counts as none: orchestrators set those.
func (s *sources) env(key string) (string, bool) {
	value, ok := s.getenv(envName(key))
	return value, ok && value != ""
}

// Resolve gives kong the value of a flag that was not on the command line. A value that cannot be read is left out: it
// is among the faults already, and the rest is still to be checked.
func (s *sources) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if s.known.byKey[flag.Name] == nil {
		return nil, nil
	}
	if value, ok := s.env(flag.Name); ok && s.known.decode(flag.Name, value) == nil {
		return value, nil
	}
	if value, ok := s.file.values[flag.Name]; ok {
		return value.text, nil
	}
	return nil, nil
}

// Validate has nothing to say to kong: Settings.Validate tells all faults at once.
func (s *sources) Validate(*kong.Application) error { return nil }

// Validate is called by kong when all values are set, and before the Validate of the parts, which kong calls too. It
// returns all faults.
func (s *Settings) Validate() error {
	if faults := s.faults(); len(faults) > 0 {
		return newFaultsError(faults)
	}
	return nil
}

// faults are what cannot be read, and what each part says of the rest, with the place that the value came from.
func (s *Settings) faults() []fault {
	faults := slices.Clone(s.sources.faults)
	for _, err := range joined(s.Config.Validate()) {
		found := s.sources.place(err)
		standIn := slices.ContainsFunc(s.sources.faults, func(f fault) bool { return f.key == found.key && f.where == commandLine })
		if !standIn { // which nobody wrote
			faults = append(faults, found)
		}
	}
	return faults
}

// AfterApply is called by kong at the end.
func (s *Settings) AfterApply() error {
	s.share()
	return nil
}

// place finds where the value came from that an error of a Validate is about. Such an error begins with its key.
func (s *sources) place(err error) fault {
	key, what, _ := strings.Cut(err.Error(), ": ")
	if errors.Is(err, fs.ErrNotExist) { // whatever setting names it
		what += "; name one that is there, relative paths begin in the working directory"
	}
	if s.known.byKey[key] == nil {
		return fault{what: err.Error()}
	}
	where, line := s.origin(key)
	return fault{where: where, line: line, key: key, what: what}
}

// origin says where the value of a setting comes from: a file and a line, a variable, the command line, or "" for the
// default.
func (s *sources) origin(key string) (where string, line int) {
	if s.flags[key] {
		return commandLine, 0
	}
	if _, ok := s.env(key); ok {
		return envName(key), 0
	}
	if value, ok := s.file.values[key]; ok {
		return s.file.path, value.line
	}
	return "", 0
}

// settingValues are the values in force, by key.
func settingValues(cfg *Config) map[string]reflect.Value {
	values := map[string]reflect.Value{}
	for _, flag := range kong.Must(cfg, append(mappers(), kong.NoDefaultHelp())...).Model.Flags {
		values[flag.Name] = flag.Target
	}
	return values
}
