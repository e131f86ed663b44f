package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"pushd/providers"
)

// guardCmd is "pushd guard": the guards of a running daemon. A guard trips where nearly all tokens of a credential are
// said to be dead, which is seldom true and often a wrong certificate.
type guardCmd struct {
	List    guardListCmd    `cmd:"" help:"List the credentials whose dead tokens are held back."`
	Release guardReleaseCmd `cmd:"" help:"Believe what the provider says of a tenant's tokens where its guard is tripped, for an hour."`
}

// guardListCmd is "pushd guard list".
type guardListCmd struct {
	JSON bool `name:"json" help:"One JSON object per line."`
	Settings
}

func (c *guardListCmd) Run(p *process) error {
	daemon, err := findRemote(c.Store.Dir)
	if err != nil {
		return err
	}
	var guards []guardAnswer
	if err := daemon.get("/control/guards", &guards); err != nil {
		return err
	}
	if c.JSON {
		return jsonLines(p.stdout, guards)
	}
	if len(guards) == 0 {
		_, err := fmt.Fprintln(p.stdout, "no guard is tripped")
		return err
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TENANT\tPROVIDER\tDEAD\tACCEPTED\tTRIPPED")
	for _, g := range guards {
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%s ago\n", g.Tenant, g.Provider, g.Dead, g.Accepted, time.Since(g.Since).Round(time.Second))
	}
	return table.Flush()
}

// guardReleaseCmd is "pushd guard release TENANT".
type guardReleaseCmd struct {
	Tenant   string `arg:"" help:"The tenant, as events name it."`
	Provider string `name:"provider" help:"Only this provider's credential: apns or fcm." placeholder:"NAME"`
	Report   bool   `name:"report" help:"Report what was held back as dead at once, instead of asking the provider again with one more push each."`
	JSON     bool   `name:"json" help:"As one JSON object."`
	Settings
}

func (guardReleaseCmd) Help() string {
	return `What was held back is sent again: a token that is dead is refused once more, and reported then. With --report it is
reported as it was answered, without a push. Exit code 1 if no guard of the tenant is tripped: then nothing changes.

First make sure that the devices really are gone. A push certificate of the sandbox at the production host, a topic of
other devices or the wrong project have every token refused, and a management server that believes it forgets a fleet.
Where the credential was wrong, replace it: that releases the guard too.`
}

func (c *guardReleaseCmd) Run(p *process) error {
	if c.Provider != "" && c.Provider != providers.APNs && c.Provider != providers.FCM {
		return usageError{fmt.Errorf("--provider: %q is neither %s nor %s", c.Provider, providers.APNs, providers.FCM)}
	}
	daemon, err := findRemote(c.Store.Dir)
	if err != nil {
		return err
	}
	var answer releaseAnswer
	form := url.Values{"tenant": {c.Tenant}, "provider": {c.Provider}, "report": {strconv.FormatBool(c.Report)}}
	if err := daemon.post("/control/guards/release", form, &answer); err != nil {
		return err
	}
	if len(answer.Released) == 0 {
		err = fmt.Errorf("no guard of %s is tripped; nothing was released", c.Tenant)
	}
	switch {
	case c.JSON:
		err = errors.Join(json.NewEncoder(p.stdout).Encode(answer), err)
	case err != nil:
	case c.Report:
		_, err = fmt.Fprintf(p.stdout, "released %s of %s: what was held back is reported as dead\n", strings.Join(answer.Released, " and "), c.Tenant)
	default:
		_, err = fmt.Fprintf(p.stdout, "released %s of %s: what was held back is sent again\n", strings.Join(answer.Released, " and "), c.Tenant)
	}
	return err
}
