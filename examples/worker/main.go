// Command worker has no pages, no sessions and no users: it calls a protected API many times at once, with a token of its
// own. The provider and the API run in the same process, and it ends when the work is done:
//
//	go run ./examples/worker
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/examples/internal/demo"
	"github.com/tokenwell/tokenwell/examples/internal/idp"
	"github.com/tokenwell/tokenwell/examples/internal/orders"
)

func main() { demo.Main("worker", run) }

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := demo.NewFlags("worker", 2*time.Second)
	b := batch{}
	flags.IntVar(&b.calls, "calls", 800, "how many calls to make")
	flags.IntVar(&b.atOnce, "at-once", 8, "how many of them at a time")
	flags.DurationVar(&b.work, "work", 25*time.Millisecond, "what an answer takes to be worked on")

	worker := idp.NewCredentials("worker")
	auditor, err := newAccount("auditor")
	if err != nil {
		return err
	}
	scopes := []string{orders.Scope, orders.ScopeAll}
	w, err := demo.NewWorld(flags, args, // the provider and the API
		idp.Client{Credentials: worker, OwnTokens: true, Scopes: scopes},
		idp.Client{Credentials: idp.Credentials{ID: auditor.name}, Key: &auditor.public, Scopes: scopes},
	)
	if err != nil {
		return err
	}
	defer w.Close()

	var m *core.Manager
	m, err = core.New(ctx, core.Config{
		Issuer:       w.Issuer,
		ClientID:     worker.ID,
		ClientSecret: worker.Secret,
		ClientScopes: scopes,
		HTTPClients: map[string]core.HTTPClient{
			"orders": {BaseURL: w.OrdersURL, Token: core.ClientToken()},
			// Another grant is a function that makes one request. CacheBy keeps what it gets.
			"audit": {BaseURL: w.OrdersURL, Token: core.CacheBy(nil, core.RetrieverFunc(
				func(ctx context.Context, _ core.TokenRequest) (*core.Token, error) {
					assertion, err := auditor.assertion(w.Issuer)
					if err != nil {
						return nil, err
					}
					return m.RequestToken(ctx, url.Values{"grant_type": {jwtBearer}, "assertion": {assertion}})
				},
			))},
		},
	})
	if err != nil {
		return err
	}

	return errors.Join(work(ctx, m, w, b, stdout), m.Close(context.WithoutCancel(ctx)))
}

// work calls the API in the one name and then in the other.
func work(ctx context.Context, m *core.Manager, w *demo.World, b batch, stdout io.Writer) error {
	for _, as := range []struct{ client, account, grant string }{
		{"orders", "worker", "client_credentials"},
		{"audit", "auditor", jwtBearer},
	} {
		done, err := b.run(ctx, orders.NewClient(m.HTTPClient(as.client)))
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "%s: %d calls in %v, of which the slowest took %v\n", as.account, w.Served(as.account), done.took, done.slowest)
		fmt.Fprintf(stdout, "  token requests: %d (%s)\n", w.Provider.TokenRequests(as.grant), as.grant)
	}
	return nil
}
