// Command typed is a web application over net/http alone, put together from parts that know nothing of tokens. A typed
// client is built once, from a named client; services are built from typed clients, and handlers from services. Whose
// token a request carries is said by its context, and which kind of token by the wiring.
//
//	go run ./examples/typed
package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/gorilla/sessions"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/examples/internal/demo"
	"github.com/tokenwell/tokenwell/examples/internal/orders"
	"github.com/tokenwell/tokenwell/examples/internal/page"
)

func main() { demo.Main("typed", run) }

func run(ctx context.Context, args []string, stdout io.Writer) error {
	d, err := demo.Start("typed", args) // the provider and the API
	if err != nil {
		return err
	}
	defer d.Close()
	d.Site.Lead = "Sign in to see what your orders come to, beside everybody’s. The one list is asked for with your token, the other with the application’s own."

	m, err := core.New(ctx, core.Config{
		Issuer:       d.Issuer,
		ClientID:     d.ClientID,
		ClientSecret: d.ClientSecret,
		RedirectURL:  d.AppURL + "/callback",
		Scopes:       []string{"openid", "profile", "offline_access", orders.Scope},
		ClientScopes: []string{orders.Scope, orders.ScopeAll},
		HTTPClients: map[string]core.HTTPClient{
			"own orders": {BaseURL: d.OrdersURL, Token: core.UserToken()},
			"all orders": {BaseURL: d.OrdersURL, Token: core.ClientToken()},
		},
	})
	if err != nil {
		return err
	}

	mux := http.NewServeMux()
	mux.Handle("GET /login", core.LoginHandler(m))
	mux.Handle("GET /callback", core.CallbackHandler(m))
	mux.Handle("POST /logout", core.LogoutHandler(m))
	mux.Handle("GET "+page.AssetPath, page.Assets())
	mux.Handle("GET /{$}", wire(m, d.Site))
	open := openSession(sessions.NewCookieStore(demo.Key(), demo.Key()))
	err = d.Serve(ctx, core.Middleware(m, open)(mux), stdout)

	closing, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(err, m.Close(closing))
}

// wire builds the application from its parts, each of which is given what it needs. Nothing is global, and nothing is
// built anew for a request.
//
// In go.uber.org/fx the same constructors are provided as they are. There are two *Orders, which is why they have names:
//
//	named := func(client string) any {
//		return fx.Annotate(
//			func(m *core.Manager) *Orders { return NewOrders(m.HTTPClient(client)) },
//			fx.ResultTags(`name:"`+client+`"`),
//		)
//	}
//	fx.Provide(
//		newManager, // core.New, and m.Close in an OnStop hook
//		named("own orders"),
//		named("all orders"),
//		fx.Annotate(NewSpending, fx.ParamTags(`name:"own orders"`, `name:"all orders"`)),
//		NewHandler,
//	)
func wire(m *core.Manager, site page.Site) *Handler {
	own := NewOrders(m.HTTPClient("own orders"))
	all := NewOrders(m.HTTPClient("all orders"))
	return NewHandler(NewSpending(own, all), m, site)
}
