// Command multitenant calls an API for many companies, each by an OAuth client of its own that is found at run time. Which
// one a request is for is said by its context.
//
//	go run ./examples/multitenant
package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/examples/internal/demo"
	"github.com/tokenwell/tokenwell/examples/internal/idp"
	"github.com/tokenwell/tokenwell/examples/internal/orders"
)

func main() { demo.Main("multitenant", run) }

func run(ctx context.Context, args []string, stdout io.Writer) error {
	acme, globex := idp.NewCredentials("acme"), idp.NewCredentials("globex")
	scopes := []string{orders.Scope}
	w, err := demo.NewWorld(demo.NewFlags("multitenant", demo.TokenLife), args, // the provider and the API
		idp.Client{Credentials: acme, OwnTokens: true, Scopes: scopes},
		idp.Client{Credentials: globex, OwnTokens: true, Scopes: scopes},
	)
	if err != nil {
		return err
	}
	defer w.Close()

	db := &database{issuer: w.Issuer}
	db.put(acme)
	db.put(globex)
	m, err := core.New(ctx, core.Config{
		FindRegistration: db.find,
		HTTPClients: map[string]core.HTTPClient{
			"orders": {BaseURL: w.OrdersURL, Token: perTenant(core.ClientToken())},
		},
	})
	if err != nil {
		return err
	}
	p := &program{w: w, db: db, orders: orders.NewClient(m.HTTPClient("orders")), stdout: stdout}
	return errors.Join(p.show(ctx), m.Close(context.WithoutCancel(ctx)))
}

type tenantKey struct{}

// forTenant returns a context for requests of that company's. A web program makes it in a middleware, from the host's name
// or the session.
func forTenant(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, tenantKey{}, name)
}

// perTenant asks for the token of the company that the request is for. Without one it asks for nothing: an empty
// Registration would be the application itself.
func perTenant(next core.TokenRetriever) core.TokenRetriever {
	return core.RetrieverFunc(func(ctx context.Context, req core.TokenRequest) (*core.Token, error) {
		tenant, _ := ctx.Value(tenantKey{}).(string)
		if tenant == "" {
			return nil, errors.New("the request is for no tenant")
		}
		req.Registration = tenant
		return next.RetrieveToken(ctx, req)
	})
}

type program struct {
	w      *demo.World
	db     *database
	orders *orders.Client // for all tenants
	stdout io.Writer
}

func (p *program) show(ctx context.Context) error {
	p.list(ctx, "acme")
	p.list(ctx, "globex")
	p.list(ctx, "acme")

	fmt.Fprintln(p.stdout, "acme's secret is changed, at the provider and in the database.")
	changed := idp.NewCredentials("acme")
	p.w.Provider.ChangeSecret(changed)
	p.db.put(changed)
	p.list(ctx, "acme")
	p.list(ctx, "globex")

	p.list(ctx, "initech")
	p.list(ctx, "")
	return context.Cause(ctx)
}

func (p *program) list(ctx context.Context, tenant string) {
	got, err := p.orders.List(forTenant(ctx, tenant))
	if err != nil {
		fmt.Fprintf(p.stdout, "%q: %v\n", tenant, errors.Unwrap(err))
	} else {
		fmt.Fprintf(p.stdout, "%q: orders placed: %d\n", tenant, len(got))
	}
	fmt.Fprintf(p.stdout, "  token requests so far: %d\n", p.w.Provider.TokenRequests("client_credentials"))
}
