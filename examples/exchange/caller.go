package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/examples/internal/demo"
	"github.com/tokenwell/tokenwell/examples/internal/idp"
)

// shop is an application that people are signed in to, and that calls the summary API for them.
type shop struct {
	w      *demo.World
	m      *core.Manager
	stdout io.Writer
}

// call has alice and bob ask the summary API.
func call(ctx context.Context, w *demo.World, client idp.Credentials, address string, stdout io.Writer) error {
	m, err := core.New(ctx, core.Config{
		Issuer:       w.Issuer,
		ClientID:     client.ID,
		ClientSecret: client.Secret,
		RedirectURL:  demo.RedirectURL,
		Scopes:       []string{"openid", "offline_access", scope},
		HTTPClients: map[string]core.HTTPClient{
			"summary": {BaseURL: address, Token: core.UserToken()},
			"orders":  {BaseURL: w.OrdersURL, Token: core.UserToken()},
		},
	})
	if err != nil {
		return err
	}
	s := &shop{w, m, stdout}
	return errors.Join(s.visit(ctx), m.Close(context.WithoutCancel(ctx)))
}

func (s *shop) visit(ctx context.Context) error {
	alice, err := s.w.SignIn(ctx, s.m, "alice")
	if err != nil {
		return err
	}
	bob, err := s.w.SignIn(ctx, s.m, "bob")
	if err != nil {
		return err
	}
	resp, err := s.m.HTTPClientFor(alice, "orders").Get("list")
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	fmt.Fprintf(s.stdout, "alice's own token at the orders API: %s\n", resp.Status)
	for range 2 {
		if err := s.ask(alice, "alice"); err != nil {
			return err
		}
	}
	if err := s.ask(bob, "bob"); err != nil {
		return err
	}
	fmt.Fprintln(s.stdout, "The provider ends the shop's access tokens: the next call renews hers, and exchanges the new one.")
	s.w.Provider.EndAccessTokens("shop")
	return s.ask(alice, "alice")
}

func (s *shop) ask(user context.Context, name string) error {
	resp, err := s.m.HTTPClientFor(user, "summary").Get("")
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return errors.New("the summary API answered " + resp.Status)
	}
	var got sum
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		return err
	}
	through := name + " through summary-api"
	fmt.Fprintf(s.stdout, "%s asks the summary API: %d orders, %s\n", name, got.Orders, got.Total)
	fmt.Fprintf(s.stdout, "  token exchanges: %d; the orders API served %s: %d\n",
		s.w.Provider.TokenRequests("urn:ietf:params:oauth:grant-type:token-exchange"), through, s.w.Served(through))
	return nil
}
