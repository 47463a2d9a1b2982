// Command exchange is an API that calls another one for the user who called it. The token that it was shown is for itself
// alone: it exchanges it at the provider (RFC 8693) for one that the other API takes, and that says who acts for whom.
//
//	go run ./examples/exchange
package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/examples/internal/demo"
	"github.com/tokenwell/tokenwell/examples/internal/idp"
	"github.com/tokenwell/tokenwell/examples/internal/introspection"
	"github.com/tokenwell/tokenwell/examples/internal/orders"
)

func main() { demo.Main("exchange", run) }

// scope is what a token needs to be let in to the summary API, which is this program.
const scope = "summary"

func run(ctx context.Context, args []string, stdout io.Writer) error {
	web, summary := idp.NewCredentials("shop"), idp.NewCredentials("summary-api")
	w, err := demo.NewWorld(demo.NewFlags("exchange", demo.TokenLife), args, // the provider and the orders API
		idp.Client{Credentials: web, Name: "the shop", RedirectURL: demo.RedirectURL, Scopes: []string{scope}},
		idp.Client{Credentials: summary, Introspects: true, OwnTokens: true, Exchanges: scope, Scopes: []string{orders.Scope}},
	)
	if err != nil {
		return err
	}
	defer w.Close()

	m, err := core.New(ctx, core.Config{
		Issuer:       w.Issuer,
		ClientID:     summary.ID,
		ClientSecret: summary.Secret,
		HTTPClients: map[string]core.HTTPClient{
			"orders": {BaseURL: w.OrdersURL, Token: core.Exchange(core.RetrieverFunc(inbound), core.ExchangeOptions{
				Scopes: []string{orders.Scope},
				Actor:  core.ClientToken(), // this API, in its own name
			})},
		},
	})
	if err != nil {
		return err
	}
	api := &summaryAPI{orders: orders.NewClient(m.HTTPClient("orders"))}
	address, err := w.Serve(w.Introspection(summary).Protect(scope, api.serve))
	if err == nil {
		err = call(ctx, w, web, address, stdout)
	}
	return errors.Join(err, m.Close(context.WithoutCancel(ctx)))
}

// inboundKey is where the request's context holds the token that it came with.
type inboundKey struct{}

// inbound retrieves the token with which this API was called. There is no other one: when the provider does not take it,
// the caller is told so.
func inbound(ctx context.Context, req core.TokenRequest) (*core.Token, error) {
	tok, ok := ctx.Value(inboundKey{}).(*core.Token)
	if !ok {
		return nil, errors.New("nobody called: the context holds no token to exchange")
	}
	if req.ForceRenewal {
		return nil, core.ErrLoginRequired
	}
	return tok, nil
}

type summaryAPI struct{ orders *orders.Client }

// serve answers with what the caller's orders come to. The token has been checked.
func (a *summaryAPI) serve(w http.ResponseWriter, r *http.Request, caller introspection.Caller) {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	tok := &core.Token{AccessToken: token, Expiry: time.Unix(caller.Expiry, 0)}
	list, err := a.orders.List(context.WithValue(r.Context(), inboundKey{}, tok))
	if err != nil {
		if !core.ServeError(w, r, err) {
			introspection.Answer(w, http.StatusBadGateway, map[string]string{"error": "the orders API failed"})
		}
		return
	}
	total := orders.Order{}
	for _, o := range list {
		total.Cents += o.Cents
	}
	introspection.Answer(w, http.StatusOK, sum{Orders: len(list), Total: total.Total()})
}

type sum struct {
	Orders int    `json:"orders"`
	Total  string `json:"total"`
}
