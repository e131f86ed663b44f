package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"pushd/providers"
)

// checkConfigCmd is "pushd check-config": all that is wrong with the configuration and with the tenants' files, each fault
// with its place, before anything starts.
type checkConfigCmd struct {
	Settings
	JSON         bool          `name:"json" help:"Print the result as one JSON object."`
	Probe        bool          `help:"Ask the providers whether they accept each credential. Nothing is pushed to any device."`
	ProbeTimeout time.Duration `help:"How long one provider may take to answer for one credential. 1s to 5m." default:"10s"`
}

// Help is shown by "pushd check-config --help".
func (checkConfigCmd) Help() string {
	return `Reads the configuration as "pushd run" would, and every tenant's file with the credentials that it names. Each fault is a
line with file, line and key, and says how to mend it; those of tenants count whatever tenants.strict says. Nothing is
started, and without --probe nothing is asked of any other machine.

With --probe each credential is shown to its provider: to APNs with a push whose token is no device's, which is answered
BadDeviceToken where the credential is accepted; to Google for an access token, and then with a message that FCM only
validates. "unknown" is a credential that got no verdict, for lack of a connection or an answer.

Exit code 0 where all is well, 1 where a credential is refused or got no verdict, 2 where there is a fault.`
}

// Validate is called by kong, beside that of Settings.
func (c *checkConfigCmd) Validate() error {
	if c.ProbeTimeout < time.Second || c.ProbeTimeout > 5*time.Minute {
		return fmt.Errorf("--probe-timeout: %v is not between 1s and 5m", c.ProbeTimeout)
	}
	return nil
}

// checking is the command whose command line gave err, if it is one that tells the faults of the configuration itself:
// check-config, which has more to look at, or config show, whose reader waits for JSON. It is nil for any other command or
// error.
func checking(err error) interface{ Run(*process) error } {
	var faulty *faultsError
	var parse *kong.ParseError
	if !errors.As(err, &faulty) || !errors.As(err, &parse) || parse.Context.Selected() == nil {
		return nil
	}
	switch command := parse.Context.Selected().Target.Addr().Interface().(type) {
	case *checkConfigCmd:
		return command
	case *configShowCmd:
		if command.JSON {
			return command
		}
	}
	return nil
}

func (c *checkConfigCmd) Run(p *process) error {
	report := c.check(time.Now())
	if err := c.print(p.stdout, report); err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	if !report.TenantsRead {
		fmt.Fprintln(p.stderr, "pushd: the tenants' files were not looked at: where they are is not known until the configuration is mended")
	} else {
		for _, folder := range c.Tenants.below() {
			fmt.Fprintf(p.stderr, "pushd: the files in %s are not read: only those in %s itself are tenants'\n", folder, c.Tenants.Dir)
		}
	}
	if len(report.Faults) > 0 {
		return &faultsError{faults: report.Faults, told: c.JSON}
	}
	return probesError(report.Probes)
}

// print prints a report, as far as its faults do not say all there is to say.
func (c *checkConfigCmd) print(w io.Writer, report *checkReport) error {
	switch {
	case c.JSON:
		return printJSON(w, report)
	case len(report.Faults) == 0:
		if err := report.table(w); err != nil {
			return err
		}
	}
	if len(report.Probes) > 0 {
		return probeTable(w, report.Probes)
	}
	return nil
}

// check reads what there is. First in the report are the faults of the configuration, then those of the tenants' files.
func (c *checkConfigCmd) check(now time.Time) *checkReport {
	report := &checkReport{checked: checked{File: c.sources.file.path}, Ledger: c.Store.Dir}
	report.Topics.Events, report.Topics.Feedback, report.Topics.Dead = c.Kafka.Topic, c.Feedback.Topic, c.Feedback.Dead
	faults, inFiles := c.faults(), []fault(nil)
	if report.TenantsRead = c.knowsTenants(faults); report.TenantsRead {
		tenants, found := providers.LoadTenants(c.Tenants.Dir)
		if len(tenants)+len(found) == 0 {
			found = []providers.Fault{{File: filepath.Clean(c.Tenants.Dir), What: errNoTenant}}
		}
		for _, f := range found {
			if c.Tenants.isDir(f) {
				faults = append(faults, c.sources.place(c.Tenants.dirFault(f)))
			} else {
				inFiles = append(inFiles, tenantFault(f))
			}
		}
		// Otherwise all credentials would be at fault.
		if !c.sources.file.unread && c.APNs.Validate() == nil && c.FCM.Validate() == nil {
			answers, unusable := c.newCredentialCheck(c.Probe && len(faults) == 0).all(tenants)
			report.Probes, inFiles = answers, append(inFiles, unusable...)
		}
		report.count(tenants, now)
	}
	slices.SortStableFunc(inFiles, func(a, b fault) int { return strings.Compare(a.where, b.where) })
	report.Faults = append([]fault{}, slices.Concat(newFaultsError(faults).faults, inFiles)...)
	report.OK = len(report.Faults) == 0 && probesError(report.Probes) == nil
	return report
}

// knowsTenants says whether the tenants' directory is known in spite of the faults of the configuration.
func (c *checkConfigCmd) knowsTenants(faults []fault) bool {
	where, _ := c.sources.origin("tenants.dir")
	lost := c.sources.file.unread && (where == "" || where == c.sources.file.path) // what the file says of them
	return !lost && !slices.ContainsFunc(faults, func(f fault) bool { return f.key == "tenants" || f.key == "tenants.dir" })
}

// checked is what the commands that check say as JSON of a configuration.
type checked struct {
	OK     bool    `json:"ok"`
	Faults []fault `json:"faults"`
	File   string  `json:"config,omitempty"`
}

// checkReport is what check-config found.
type checkReport struct {
	checked
	Topics struct {
		Events   string `json:"events"`
		Feedback string `json:"feedback"`
		Dead     string `json:"dead"`
	} `json:"topics"`
	Ledger      string `json:"ledger"`
	TenantsRead bool   `json:"tenants_read"` // false where the configuration does not even say where they are
	Tenants     int    `json:"tenants"`
	Credentials struct {
		Certificates int `json:"apns_certificates"`
		Keys         int `json:"apns_keys"`
		Accounts     int `json:"fcm_service_accounts"`
	} `json:"credentials"`
	NextExpiry *nextExpiry `json:"next_expiry,omitempty"`
	Probes     []probed    `json:"probes,omitempty"`
}

// nextExpiry is the certificate that ends first.
type nextExpiry struct {
	Tenant   string    `json:"tenant"`
	File     string    `json:"file"`
	Expires  time.Time `json:"expires"`
	DaysLeft int       `json:"days_left"`
}

// count notes the tenants that can be used.
func (r *checkReport) count(tenants []providers.Tenant, now time.Time) {
	r.Tenants = len(tenants)
	for _, tenant := range tenants {
		switch {
		case tenant.APNs == nil:
		case tenant.APNs.Token != nil:
			r.Credentials.Keys++
		default:
			r.Credentials.Certificates++
		}
		if tenant.FCM != nil {
			r.Credentials.Accounts++
		}
	}
	if all := expiriesOf(slices.Values(tenants)); len(all) > 0 {
		first := all[0]
		r.NextExpiry = &nextExpiry{first.tenant, first.file, first.at.UTC(), int(first.at.Sub(now).Hours() / 24)}
	}
}

// table prints a report without faults for people.
func (r *checkReport) table(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(table, name+"\t"+format+"\n", args...) }
	if r.File != "" {
		row("configuration", "%s", r.File)
	}
	row("topics", "events %s, feedback %s, dead letters %s", r.Topics.Events, r.Topics.Feedback, r.Topics.Dead)
	row("ledger", "%s", r.Ledger)
	row("tenants", "%d", r.Tenants)
	row("credentials", "%s, %s, %s", plural(r.Credentials.Certificates, "APNs certificate", "APNs certificates"),
		plural(r.Credentials.Keys, "APNs key", "APNs keys"), plural(r.Credentials.Accounts, "FCM service account", "FCM service accounts"))
	if next := r.NextExpiry; next != nil {
		row("next to expire", "the certificate of %s (%s) at %s, in %s", next.Tenant, next.File, next.Expires.Format(time.RFC3339), plural(next.DaysLeft, "day", "days"))
	}
	row("faults", "none")
	return table.Flush()
}
