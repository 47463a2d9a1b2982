package torture

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core"
)

// workerEnv holds the work of a process that is not a test, as JSON.
const workerEnv = "TOKENWELL_TORTURE_WORKER"

// workerHeader names the process in its requests to the provider.
const workerHeader = "X-Torture-Worker"

// job is what makes a process one of the application's.
type job struct {
	Worker                         string
	Store                          storeAt
	Issuer, ClientID, ClientSecret string
	Clock                          time.Duration // how far it is ahead
}

// order is one line of a process' standard input.
type order struct {
	Advance time.Duration // its clock moves
	Ticket  string        // whose token is called for
	Callers int
	Patient time.Duration // how long each caller waits
	HangUp  bool          // but most of them leave earlier, at random
}

// result is the answer to an order.
type result struct {
	Served, Failed, Left int
	LoginRequired        int
	Worst                time.Duration
	Errors               map[string]int
}

func TestMain(m *testing.M) {
	if text := os.Getenv(workerEnv); text != "" {
		if err := work(context.Background(), text, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// work carries out one order after the other until there are no more.
func work(ctx context.Context, text string, orders io.Reader, results io.Writer) error {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	s, closeStore, err := j.Store.open(ctx)
	if err != nil {
		return err
	}
	defer closeStore()
	var advanced atomic.Int64
	m, err := core.New(ctx, core.Config{
		Issuer: j.Issuer, ClientID: j.ClientID, ClientSecret: j.ClientSecret, RedirectURL: redirectURL,
		Store:       s,
		Backchannel: &http.Client{Timeout: time.Minute, Transport: named{j.Worker, http.DefaultTransport}},
		Logger:      slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Now:         func() time.Time { return time.Now().Add(j.Clock + time.Duration(advanced.Load())) },
	})
	if err != nil {
		return err
	}
	lines := json.NewDecoder(bufio.NewReader(orders))
	answers := json.NewEncoder(results)
	if err := answers.Encode(result{}); err != nil { // it is up
		return err
	}
	for {
		var o order
		if err := lines.Decode(&o); errors.Is(err, io.EOF) {
			return m.Close(ctx)
		} else if err != nil {
			return err
		}
		advanced.Add(int64(o.Advance))
		if err := answers.Encode(o.call(ctx, m)); err != nil {
			return err
		}
	}
}

// call has many callers ask for one user's token at the same time.
func (o order) call(ctx context.Context, m *core.Manager) result {
	r := result{Errors: map[string]int{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range o.Callers {
		wg.Go(func() {
			patient := o.Patient
			leaves := o.HangUp && i > 0
			if leaves {
				patient = rand.N(200 * time.Millisecond)
			}
			ctx, cancel := context.WithTimeout(m.WithTicket(ctx, core.Ticket(o.Ticket)), patient)
			defer cancel()
			began := time.Now()
			_, err := m.GetUserAccessToken(ctx)
			took := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				r.Served++
				r.Worst = max(r.Worst, took)
			case leaves && ctx.Err() != nil:
				r.Left++
			default:
				r.Failed++
				r.Worst = max(r.Worst, took)
				if errors.Is(err, core.ErrLoginRequired) {
					r.LoginRequired++
				}
				r.Errors[err.Error()]++
			}
		})
	}
	wg.Wait()
	return r
}

// named adds the process' name to its requests.
type named struct {
	name string
	http.RoundTripper
}

func (n named) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(workerHeader, n.name)
	return n.RoundTripper.RoundTrip(r)
}
