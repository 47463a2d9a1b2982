package main

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core"
)

func TestEachUsersTokenIsExchangedOnceAndServesThemAlone(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), nil, &out); err != nil {
		t.Fatal(err)
	}
	want := `alice's own token at the orders API: 403 Forbidden
alice asks the summary API: 4 orders, €135.25
  token exchanges: 1; the orders API served alice through summary-api: 1
alice asks the summary API: 4 orders, €135.25
  token exchanges: 1; the orders API served alice through summary-api: 2
bob asks the summary API: 2 orders, €111.50
  token exchanges: 2; the orders API served bob through summary-api: 1
The provider ends the shop's access tokens: the next call renews hers, and exchanges the new one.
alice asks the summary API: 4 orders, €135.25
  token exchanges: 3; the orders API served alice through summary-api: 3
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestNobodysRequestHasNothingToExchange(t *testing.T) {
	if tok, err := inbound(t.Context(), core.TokenRequest{}); tok != nil || err == nil {
		t.Errorf("%v, %v", tok, err)
	}
}

func TestRefusedTokenIsTheCallersToRenew(t *testing.T) {
	tok := &core.Token{AccessToken: "refused"}
	ctx := context.WithValue(t.Context(), inboundKey{}, tok)
	if got, err := inbound(ctx, core.TokenRequest{ForceRenewal: true, Rejected: tok}); got != nil || !errors.Is(err, core.ErrLoginRequired) {
		t.Errorf("%v, %v", got, err)
	}
}
