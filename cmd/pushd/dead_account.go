package main

import (
	"encoding/json"
	"fmt"
	"time"

	"pushd/queue/event"
)

// account is what became of the letters that "pushd dead replay" or "drop" was to work on, or what would. People are told
// as it goes, and machines get one object at the end.
type account struct {
	p      *process
	deed   event.Deed
	json   bool
	commit bool

	done    []doneLetter
	leftOut []leftOutLetter
	refused int // of leftOut: those with which something is wrong
	named   int
}

// doneLetter is a letter that was published again or dropped, or would be.
type doneLetter struct {
	Place  place  `json:"place"`
	Tenant string `json:"tenant,omitempty"`
	Device string `json:"device,omitempty"`
	Reason string `json:"reason"` // for which it is a dead letter
}

// leftOutLetter is one that was not, or would not be.
type leftOutLetter struct {
	doneLetter
	Why string `json:"why"`
}

func newAccount(p *process, deed event.Deed, choice *deadChoice) *account {
	return &account{p: p, deed: deed, json: choice.JSON, commit: choice.Commit}
}

// would tells people of a letter that something would be done with.
func (a *account) would(at place, what string) {
	if a.commit || a.json {
		return
	}
	if a.named++; a.named <= shownLetters {
		fmt.Fprintf(a.p.stdout, "%s  %s\n", at, what)
	}
}

// leaveOutMarked takes out those that were named although they have a mark: of these deeds, or any where none is given.
func (a *account) leaveOutMarked(chosen []letter, deeds ...event.Deed) []letter {
	var left []letter
	for i := range chosen {
		l := &chosen[i]
		if !l.marked(deeds...) {
			left = append(left, *l)
			continue
		}
		why := fmt.Sprintf("was %s by %s at %s", l.mark.Deed, l.mark.By, l.mark.At.Format(time.RFC3339))
		a.leftOut = append(a.leftOut, leftOutLetter{l.summed(), why})
		if !a.json {
			fmt.Fprintf(a.p.stdout, "%s  left out: %s\n", l.place, printable(why))
		}
	}
	return left
}

// refuse leaves out a letter with which something is wrong.
func (a *account) refuse(l doneLetter, why error) {
	a.refused++
	a.leftOut = append(a.leftOut, leftOutLetter{l, why.Error()})
	if !a.json {
		fmt.Fprintf(a.p.stderr, "%s  not published: %v\n", l.Place, why)
	}
}

// tell writes the end of the account; what is the sentence for people on what was done.
func (a *account) tell(what string) error {
	if a.json {
		return json.NewEncoder(a.p.stdout).Encode(a.object())
	}
	if more := a.named - shownLetters; more > 0 {
		fmt.Fprintf(a.p.stdout, "… and %d more\n", more)
	}
	if !a.commit {
		what += "; nothing was done, --commit does it"
	}
	_, err := fmt.Fprintln(a.p.stdout, what)
	return err
}

// undone is the error of letters that were named and are left out for a mark: what was named was not done, and a script that
// named them is to hear of it.
func (a *account) undone() error {
	n := len(a.leftOut) - a.refused
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%s left out: what was done is not done again", plural(n, "dead letter was", "dead letters were"))
}

// accountJSON is the account as --json writes it. It has one of published and dropped, be it empty.
type accountJSON struct {
	DryRun    bool            `json:"dry_run"` // nothing was done: this is what would be
	Published *[]doneLetter   `json:"published,omitempty"`
	Dropped   *[]doneLetter   `json:"dropped,omitempty"`
	LeftOut   []leftOutLetter `json:"left_out"`
}

func (a *account) object() accountJSON {
	done := append([]doneLetter{}, a.done...)
	object := accountJSON{DryRun: !a.commit, LeftOut: append([]leftOutLetter{}, a.leftOut...)}
	if a.deed == event.Dropped {
		object.Dropped = &done
	} else {
		object.Published = &done
	}
	return object
}
