package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// deadListCmd is "pushd dead list".
type deadListCmd struct {
	Settings
	deadFilter
	All   bool `help:"Also those that were replayed or dropped."`
	Limit int  `help:"So many of the newest at most; 0 is all. The summary counts all." default:"100"`
	JSON  bool `name:"json" help:"One JSON object per line; the summary goes to standard error."`
}

// Help is shown by "pushd dead list --help".
func (deadListCmd) Help() string {
	return `PLACE is where the letter is in the topic of dead letters: "pushd dead show", "replay" and "drop" take it. WHEN is when it came
there. ERROR says which field is wrong and how to mend it. The letters are as they were when the command began.`
}

func (c *deadListCmd) Run(p *process) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.Limit < 0 {
		return usageError{fmt.Errorf("--limit: %d is below 0; 0 lists all", c.Limit)}
	}
	return atDesk(p, &c.Config, func(ctx context.Context, d *desk) error {
		found, err := d.read(ctx, c.takes)
		if err != nil {
			return err
		}
		shown := found.open()
		if c.All {
			shown = found.all
		}
		if c.Limit > 0 {
			shown = shown[max(0, len(shown)-c.Limit):]
		}
		list, summary := c.table, p.stdout
		if c.JSON {
			list, summary = listJSON, p.stderr
		}
		if err := list(p.stdout, shown); err != nil {
			return err
		}
		_, err = io.WriteString(summary, found.summary(len(shown), c.All))
		return err
	})
}

const (
	shownDevice = 40  // characters of a device in the table
	shownFault  = 100 // of an error
)

func (c *deadListCmd) table(w io.Writer, shown []letter) error {
	if len(shown) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "PLACE\tWHEN\tTENANT\tDEVICE\tREASON\t")
	if c.All {
		fmt.Fprint(t, "MARK\t")
	}
	fmt.Fprintln(t, "ERROR")
	for i := range shown {
		l := &shown[i]
		device := l.device
		if l.tenant == "" && l.device == "" {
			device = l.key
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t", l.place, l.at.UTC().Format(time.RFC3339), dash(l.tenant),
			dash(shortened(printable(device), shownDevice)), printable(l.reason))
		if c.All {
			fmt.Fprintf(t, "%s\t", dash(l.done()))
		}
		fmt.Fprintln(t, shortened(printable(strings.TrimPrefix(l.fault, l.reason+": ")), shownFault))
	}
	return t.Flush()
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// done is what was done with a letter; empty where nothing was.
func (l *letter) done() string {
	if l.mark == nil {
		return ""
	}
	return string(l.mark.Deed)
}

// summary counts the letters by reason.
func (l *letters) summary(shown int, all bool) string {
	open, marked, counts := 0, 0, map[string]int{}
	for i := range l.all {
		if l.all[i].mark != nil {
			marked++
		} else {
			open++
		}
		if l.all[i].mark == nil || all {
			counts[l.all[i].reason]++
		}
	}
	reasons := make([]string, 0, len(counts))
	for reason := range counts {
		reasons = append(reasons, reason)
	}
	slices.SortFunc(reasons, func(a, b string) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return strings.Compare(a, b)
	})
	for i, reason := range reasons {
		reasons[i] = fmt.Sprintf("%d %s", counts[reason], printable(reason))
	}
	text := plural(open, "dead letter", "dead letters")
	if all {
		text = plural(open+marked, "dead letter", "dead letters")
	}
	if len(reasons) > 0 {
		text += ": " + strings.Join(reasons, ", ")
	}
	switch {
	case all && marked > 0:
		text += fmt.Sprintf("; %d of them were replayed or dropped", marked)
	case marked > 0:
		text += fmt.Sprintf("; %d more were replayed or dropped (--all)", marked)
	}
	n := open
	if all {
		n += marked
	}
	if shown < n {
		text += fmt.Sprintf("; the newest %d are shown (--limit)", shown)
	}
	if l.strange > 0 {
		text += "; " + plural(l.strange, "record is no dead letter of pushd", "records are no dead letters of pushd")
	}
	return text + "\n"
}

// letterJSON is a letter as "pushd dead list --json" writes it.
type letterJSON struct {
	Place    string    `json:"place"`
	Time     time.Time `json:"time"`
	Tenant   string    `json:"tenant,omitempty"`
	Device   string    `json:"device,omitempty"`
	Key      string    `json:"key"`
	Reason   string    `json:"reason"`
	Error    string    `json:"error"`
	Mark     string    `json:"mark,omitempty"`
	MarkBy   string    `json:"mark_by,omitempty"`
	MarkTime time.Time `json:"mark_time,omitzero"`
}

func listJSON(w io.Writer, shown []letter) error {
	all := make([]letterJSON, len(shown))
	for i := range shown {
		l := &shown[i]
		all[i] = letterJSON{
			Place: l.place.String(), Time: l.at.UTC(), Tenant: l.tenant, Device: l.device, Key: l.key, Reason: l.reason,
			Error: l.fault, Mark: l.done(),
		}
		if l.mark != nil {
			all[i].MarkBy, all[i].MarkTime = l.mark.By, l.mark.At
		}
	}
	return jsonLines(w, all)
}
