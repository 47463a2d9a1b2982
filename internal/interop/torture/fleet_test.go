package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

const redirectURL = coretest.AppURL + "/callback"

// fleet is some processes of one application, its provider, and a user of it.
type fleet struct {
	t       *testing.T
	p       *coretest.Provider
	store   storeAt
	m       *core.Manager // of this process, which signs in and out and never refreshes
	session core.Session
	ticket  core.Ticket

	meanwhile sync.WaitGroup // what befalls the store

	mu       sync.Mutex
	workers  map[string]*worker
	started  int
	advanced time.Duration
}

// worker is one of the processes.
type worker struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	orders  *json.Encoder
	results *json.Decoder
	stderr  bytes.Buffer // read when it has ended
}

// newFleet starts processes whose clocks are skew apart, and signs a user in.
func newFleet(t *testing.T, s *backend, processes int, skew time.Duration) *fleet {
	t.Helper()
	p := coretest.NewProvider(t, coretest.Options{Algorithm: "ES256"})
	f := &fleet{t: t, p: p, store: s.at, workers: map[string]*worker{}}
	opened, closeStore, err := s.at.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closeStore)
	cfg := p.Config()
	cfg.Store = opened
	if f.m, err = core.New(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.m.Close(context.Background()) })
	f.signIn()
	for i := range processes {
		f.start(time.Duration(i) * skew)
	}
	t.Cleanup(f.stop)
	return f
}

// signIn takes the user through a login.
func (f *fleet) signIn() {
	f.t.Helper()
	f.session = coretest.NewSession()
	address, err := f.m.StartLogin(f.t.Context(), f.session, core.LoginOptions{})
	if err != nil {
		f.t.Fatal(err)
	}
	browser := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.PostForm(address, url.Values{"user": {"alice"}})
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	back, err := resp.Location()
	if err != nil {
		f.t.Fatalf("no authorization response, but %s", resp.Status)
	}
	if _, err := f.m.FinishLogin(f.t.Context(), f.session, back.Query()); err != nil {
		f.t.Fatal(err)
	}
	if f.ticket, err = f.m.Ticket(f.m.NewContext(f.t.Context(), f.session)); err != nil {
		f.t.Fatal(err)
	}
}

// start adds a process.
func (f *fleet) start(clock time.Duration) {
	f.t.Helper()
	f.mu.Lock()
	f.started++
	name := fmt.Sprintf("worker-%d", f.started)
	f.mu.Unlock()
	cfg := f.p.Config()
	text, err := json.Marshal(job{name, f.store, cfg.Issuer, cfg.ClientID, cfg.ClientSecret, f.advanced + clock})
	if err != nil {
		f.t.Fatal(err)
	}
	w := &worker{cmd: exec.Command(os.Args[0])}
	w.cmd.Env = append(os.Environ(), workerEnv+"="+string(text))
	w.cmd.Stderr = &w.stderr
	if w.stdin, err = w.cmd.StdinPipe(); err != nil {
		f.t.Fatal(err)
	}
	stdout, err := w.cmd.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	w.orders, w.results = json.NewEncoder(w.stdin), json.NewDecoder(stdout)
	var up result
	if err := w.results.Decode(&up); err != nil {
		_ = w.cmd.Wait()
		f.t.Fatalf("%s did not start: %v\n%s", name, err, &w.stderr)
	}
	f.mu.Lock()
	f.workers[name] = w
	f.mu.Unlock()
}

func (f *fleet) stop() {
	for _, w := range f.running() {
		_ = w.stdin.Close()
		ended := time.AfterFunc(10*time.Second, func() { _ = w.cmd.Process.Kill() })
		_ = w.cmd.Wait()
		ended.Stop()
		if f.t.Failed() {
			f.t.Logf("%s said:\n%s", w.cmd.Env[len(w.cmd.Env)-1][:60], &w.stderr)
		}
	}
}

func (f *fleet) running() map[string]*worker {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make(map[string]*worker, len(f.workers))
	for name, w := range f.workers {
		all[name] = w
	}
	return all
}

// order gives all processes the same order at the same time and adds up what they say.
// One that dies over it counts for nothing.
func (f *fleet) order(o order) result {
	total := result{Errors: map[string]int{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, w := range f.running() {
		wg.Go(func() {
			var r result
			if w.orders.Encode(o) != nil || w.results.Decode(&r) != nil {
				f.bury(name)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			total.add(r)
		})
	}
	wg.Wait()
	return total
}

func (r *result) add(other result) {
	r.Served += other.Served
	r.Failed += other.Failed
	r.Left += other.Left
	r.LoginRequired += other.LoginRequired
	r.Worst = max(r.Worst, other.Worst)
	for text, n := range other.Errors {
		r.Errors[text] += n
	}
}

func (f *fleet) bury(name string) {
	f.mu.Lock()
	w := f.workers[name]
	delete(f.workers, name)
	f.mu.Unlock()
	if w != nil {
		_ = w.cmd.Process.Kill()
		_ = w.cmd.Wait()
	}
}

// advance moves everybody's clock.
func (f *fleet) advance(d time.Duration) {
	f.p.Advance(d)
	f.advanced += d
	f.order(order{Advance: d})
}

// sender is the process that sent the newest refresh.
func (f *fleet) sender() *worker {
	requests := f.p.Requests(coretest.TokenEndpoint)
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.workers[requests[len(requests)-1].Header.Get(workerHeader)]
}

// kill ends the process that sent the newest refresh, without a word.
func (f *fleet) kill() {
	if w := f.sender(); w != nil {
		_ = w.cmd.Process.Kill()
	}
}

// freeze stops the process that sent the newest refresh for a while. It may well
// answer nothing meanwhile.
func (f *fleet) freeze(d time.Duration) {
	w := f.sender()
	if w == nil {
		return
	}
	_ = w.cmd.Process.Signal(syscall.SIGSTOP)
	f.meanwhile.Go(func() {
		time.Sleep(d)
		_ = w.cmd.Process.Signal(syscall.SIGCONT)
		time.Sleep(time.Second) // it takes up where it was
	})
}
