package main

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

// Each file of mutants is a mutant: a sentence of what it breaks, and after that pieces of source with what becomes of them,
// as in a patch without numbers:
//
//	Commits the highest offset that was read, not the first that is not done (I1).
//	@ queue/window.go
//	-func (w *Window) Watermark() int64 { return w.watermark }
//	+func (w *Window) Watermark() int64 { return w.next }
//
// Lines that begin with a space stay. A piece is of the body of a function, and must be found exactly once: a mutant whose place
// in the source has changed is an error, or it would prove nothing one day and nobody would see.
//
//go:embed mutants/*.txt
var files embed.FS

// mutant is a fault to be put into the source.
type mutant struct {
	name   string
	breaks string
	pieces []piece
}

// piece is a place in a file, and what becomes of it.
type piece struct{ file, was, is string }

// mutants reads all mutants, or one, in order of their names.
func readMutants(only string) ([]mutant, error) {
	entries, err := files.ReadDir("mutants")
	if err != nil {
		return nil, err
	}
	var all []mutant
	for _, entry := range entries {
		name := strings.TrimSuffix(entry.Name(), ".txt")
		text, err := files.ReadFile("mutants/" + entry.Name())
		if err != nil {
			return nil, err
		}
		m, err := parse(name, string(text))
		if err != nil {
			return nil, fmt.Errorf("mutants/%s: %w", entry.Name(), err)
		}
		if only == "" || only == name {
			all = append(all, m)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("there is no mutant %q", only)
	}
	return all, nil
}

func parse(name, text string) (mutant, error) {
	m := mutant{name: name}
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		last := len(m.pieces) - 1
		switch {
		case strings.HasPrefix(line, "@ "):
			m.pieces = append(m.pieces, piece{file: strings.TrimPrefix(line, "@ ")})
		case last < 0:
			m.breaks = strings.TrimSpace(m.breaks + " " + line)
		case strings.HasPrefix(line, "-"):
			m.pieces[last].was += line[1:] + "\n"
		case strings.HasPrefix(line, "+"):
			m.pieces[last].is += line[1:] + "\n"
		case strings.HasPrefix(line, " "), line == "":
			kept := strings.TrimPrefix(line, " ") + "\n"
			m.pieces[last].was += kept
			m.pieces[last].is += kept
		default:
			return m, fmt.Errorf("line %d begins with none of @, -, + and a space", i+1)
		}
	}
	if m.breaks == "" || len(m.pieces) == 0 {
		return m, fmt.Errorf("it says nothing of what it breaks, or of where")
	}
	return m, nil
}

// files are the files that the mutant changes.
func (m mutant) files() []string {
	var all []string
	for _, p := range m.pieces {
		if !slices.Contains(all, p.file) {
			all = append(all, p.file)
		}
	}
	return all
}

// applied is what the mutant makes of a file's source.
func (m mutant) applied(file, source string) (string, error) {
	for _, p := range m.pieces {
		if p.file != file {
			continue
		}
		if n := strings.Count(source, p.was); n != 1 {
			return "", fmt.Errorf("mutant %s: its piece of %s is found %d times, not once; bring mutants/%s.txt to what the source is now:\n%s",
				m.name, p.file, n, m.name, p.was)
		}
		source = strings.Replace(source, p.was, p.is, 1)
	}
	return source, nil
}
