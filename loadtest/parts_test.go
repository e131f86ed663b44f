package main

import (
	"testing"
	"time"
)

// It runs alone, as there is one profile of a process at a time.
func TestCPUTimeBelongsToThePartThatUsedIt(t *testing.T) {
	var own profiled
	own.begin()
	var second profiled
	second.begin()
	spun := make(chan int)
	as(theBroker, func() {
		go func() { // its label is inherited
			n := 0
			for until := time.Now().Add(300 * time.Millisecond); time.Now().Before(until); n++ {
			}
			spun <- n
		}()
	})
	<-spun
	used, err := own.end()
	if err != nil {
		t.Fatal(err)
	}
	if used[theBroker] == 0 || used[theBroker] < 10*used[thePublisher] || used[theBroker] < used[""] {
		t.Errorf("%v", used)
	}
	if none, err := second.end(); none != nil || err != nil {
		t.Errorf("a second profile at the same time: %v, %v", none, err)
	}
}
