package demotest

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// Output is what a program has printed.
type Output struct {
	mu      sync.Mutex
	text    string
	written chan struct{} // closed by the next Write
}

func newOutput() *Output { return &Output{written: make(chan struct{})} }

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text += string(p)
	close(o.written)
	o.written = make(chan struct{})
	return len(p), nil
}

func (o *Output) sofar() (text string, written <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text, o.written
}

// Wait waits until want has been printed, and returns all that has been printed by then.
func (o *Output) Wait(t *testing.T, want string) string {
	t.Helper()
	late := time.After(patience)
	for {
		text, written := o.sofar()
		if strings.Contains(text, want) {
			return text
		}
		select {
		case <-written:
		case <-late:
			t.Fatalf("%q is not printed:\n%s", want, text)
		}
	}
}
