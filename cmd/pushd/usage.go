package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"

	"pushd/providers/spelling"
)

// helpCmd is "pushd help": what --help is, for whoever looks for a command of that name.
type helpCmd struct {
	Command []string `arg:"" optional:"" help:"Which; without it, all."`
}

func (c *helpCmd) Run(p *process) error {
	helped := false
	if _, err := newParser(&commands{}, p, func(int) { helped = true }).Parse(append(c.Command, "--help")); err != nil && !helped {
		return usageError{inOurWords(err)}
	}
	return nil
}

// What kong says of a command line, as far as it is put into other words here. A test has each.
var (
	noValue    = regexp.MustCompile(`expected \S+ value but got .*$`)
	unexpected = regexp.MustCompile(`^unexpected argument (.*?)(, did you mean .*)?$`)
	incomplete = regexp.MustCompile(`^expected one of `)
)

// inOurWords is kong's error about a command line in words that say what to write: kong tells of its scanner, and names a
// few of the commands that there are.
func inOurWords(err error) error {
	text := err.Error()
	if noValue.MatchString(text) {
		return errors.New(noValue.ReplaceAllString(text, "has no value; write one behind it, after = where it begins with a dash"))
	}
	var parse *kong.ParseError
	if !errors.As(err, &parse) {
		return err
	}
	node := parse.Context.Selected()
	if node == nil {
		node = parse.Context.Model.Node
	}
	var names []string
	for _, child := range node.Children {
		names = append(names, child.Name)
	}
	unknown := unexpected.FindStringSubmatch(text)
	switch _, hashes := node.Target.Interface().(hashTokenCmd); {
	case unknown != nil && hashes: // nor is the token repeated
		return errors.New("hash-token takes no token as an argument, which stands in the list of processes: write tokens to its standard input, one a line")
	case unknown != nil && len(names) > 0:
		return fmt.Errorf("there is no command %q%s; there are: %s", unknown[1], spelling.DidYouMean(unknown[1], names), strings.Join(names, ", "))
	case incomplete.MatchString(text) && len(names) > 0:
		return fmt.Errorf("a command is missing; there are: %s", strings.Join(names, ", "))
	}
	return err
}
