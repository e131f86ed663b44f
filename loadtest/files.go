package main

import (
	"fmt"
	"io"
	"os"
)

// files are those that the command line asks for. They are opened before anything is started, so that nobody waits for a run
// whose result cannot be written.
type files struct {
	log    io.Writer // nowhere where none is asked for
	report *os.File  // nil likewise
	opened []*os.File
}

func (f *files) open(c *command) error {
	f.log = io.Discard
	if c.Log != "" {
		log, err := f.create("--log", c.Log)
		if err != nil {
			return err
		}
		f.log = log
	}
	if c.Report != "" {
		report, err := f.create("--report", c.Report)
		if err != nil {
			return err
		}
		f.report = report
	}
	return nil
}

func (f *files) create(flag, path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		f.close()
		return nil, fmt.Errorf("%s: %w; name a file that can be written", flag, err)
	}
	f.opened = append(f.opened, file)
	return file, nil
}

// close closes what is still open; what was written to a report was seen to when it was written.
func (f *files) close() {
	for _, file := range f.opened {
		_ = file.Close()
	}
}
