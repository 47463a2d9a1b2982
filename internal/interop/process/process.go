// Package process runs the servers that tests need, each in a process group of its own, and sees that none outlives them.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Process is a server in a process group of its own. Its standard input is a pipe that nobody writes to: a server that
// reads it sees it end when the tests die without saying goodbye, and goes too.
type Process struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	output *tail
	exited chan struct{}
	once   sync.Once
}

// Start starts cmd, and keeps what it prints. The caller calls Stop.
func Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, output: &tail{}, exited: make(chan struct{})}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.stdin = stdin
	cmd.Stdout, cmd.Stderr = p.output, p.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// Until waits until ready says so. It fails as soon as the process has ended, with its last words.
func (p *Process) Until(limit time.Duration, ready func() bool) error {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended before it was up:\n%s", p.cmd.Path, p.output)
		case <-deadline.C:
			return fmt.Errorf("%s was not up after %v:\n%s", p.cmd.Path, limit, p.output)
		case <-tick.C:
		}
	}
	return nil
}

// Stop ends the whole group: politely, then not.
func (p *Process) Stop() {
	p.once.Do(func() {
		_ = p.stdin.Close()
		p.signal(syscall.SIGTERM)
		select {
		case <-p.exited:
		case <-time.After(10 * time.Second):
		}
		p.signal(syscall.SIGKILL) // also what the leader left behind
		<-p.exited
	})
}

// Output returns what the server printed, the newest 64 KiB of it.
func (p *Process) Output() string { return p.output.String() }

func (p *Process) signal(s syscall.Signal) {
	if err := syscall.Kill(-p.cmd.Process.Pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		fmt.Fprintf(os.Stderr, "signal %v to %s: %v\n", s, p.cmd.Path, err)
	}
}

// tail keeps what a server printed, the newest 64 KiB of it.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const tailSize = 64 << 10

func (b *tail) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if over := b.buf.Len() + len(p) - tailSize; over > 0 {
		b.buf.Next(over)
	}
	return b.buf.Write(p)
}

func (b *tail) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// FreePort gives a port that was free a moment ago, for servers that cannot say which port they took.
func FreePort() (string, error) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}
