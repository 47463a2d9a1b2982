package core

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
)

// ExchangeOptions say what [Exchange] asks for. The zero value exchanges an access
// token for another access token.
type ExchangeOptions struct {
	Registration string   // the client that exchanges; "" is the application itself
	Audience     string   // the logical name of the service that the token is for
	Resource     string   // its URL (RFC 8707)
	Scopes       []string // nil: as the provider sees fit
	Params       url.Values

	// RequestedTokenType is a token type identifier (RFC 8693 section 3); "": the
	// provider's choice.
	RequestedTokenType string
	// SubjectTokenType is that of the subject's token; "": an access token.
	SubjectTokenType string
	// Actor finds the token of the party that acts for the subject; nil: none.
	Actor TokenRetriever
	// ActorTokenType is that of the actor's token; "": an access token.
	ActorTokenType string
}

func (o ExchangeOptions) redacted() string {
	return fmt.Sprintf("core.ExchangeOptions{Registration:%q Audience:%q Resource:%q Scopes:%v Params:%v}",
		o.Registration, o.Audience, o.Resource, o.Scopes, slices.Sorted(maps.Keys(o.Params)))
}

// Format implements fmt.Formatter without the parameters' values, which may be secret.
func (o ExchangeOptions) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, o.redacted()) }

// LogValue implements slog.LogValuer, as Format does.
func (o ExchangeOptions) LogValue() slog.Value { return slog.StringValue(o.redacted()) }

// MarshalJSON implements json.Marshaler, as Format does.
func (o ExchangeOptions) MarshalJSON() ([]byte, error) { return json.Marshal(o.redacted()) }

const accessTokenType = "urn:ietf:params:oauth:token-type:access_token"

// Exchange retrieves a token in exchange for that of another retriever (RFC 8693):
// an API calls another one for the user who called it. What the request asks for
// replaces what o says.
//
// The token is kept for each subject's and actor's token, and everything else that
// shapes the request, and never longer than those live. Whoever they belong to is
// asked on every call, so a logout ends what was exchanged, too. After a refusal by
// the API the same subject's token is exchanged anew. If the provider refuses to, as
// it does when a token that it is given has been revoked, subject and actor are asked
// for other ones, as after a 401, and it is tried once more. Of the request they see
// the outgoing HTTP request alone: scopes and the like are those of the exchanged
// token.
//
// The answer must be a token that an Authorization header can carry, whatever type
// was requested.
func Exchange(subject TokenRetriever, o ExchangeOptions) TokenRetriever {
	o.Scopes, o.Params = slices.Clone(o.Scopes), cloneParams(o.Params)
	return &exchange{subject: subject, o: o, defaults: TokenRequest{
		Registration: o.Registration, Scopes: o.Scopes, Resource: o.Resource, Params: o.Params,
	}}
}

type exchange struct {
	subject  TokenRetriever
	o        ExchangeOptions
	defaults TokenRequest
}

func (e *exchange) RetrieveToken(ctx context.Context, req TokenRequest) (*Token, error) {
	m, err := req.asker(ctx)
	if err != nil {
		return nil, err
	}
	req.manager = m
	given, err := e.ask(ctx, req, parties{})
	if err != nil {
		return nil, err
	}
	tok, err := e.exchanged(ctx, m, req, given)
	if !refusedGrant(err) {
		return tok, err
	}
	other, askErr := e.ask(ctx, req, given)
	switch {
	case askErr != nil:
		return nil, askErr
	case other == given:
		return nil, err
	}
	return e.exchanged(ctx, m, req, other)
}

// parties are the tokens that are exchanged; there need not be an actor's.
type parties struct{ subject, actor *Token }

// ask retrieves the tokens to be exchanged, other ones than those refused, as far as
// there are any.
func (e *exchange) ask(ctx context.Context, req TokenRequest, refused parties) (given parties, err error) {
	if e.subject == nil {
		return parties{}, configError("core.Exchange: the subject's retriever is nil")
	}
	if given.subject, err = askParty(ctx, e.subject, req, refused.subject); err != nil || e.o.Actor == nil {
		return given, err
	}
	given.actor, err = askParty(ctx, e.o.Actor, req, refused.actor)
	return given, err
}

func askParty(ctx context.Context, r TokenRetriever, req TokenRequest, refused *Token) (*Token, error) {
	tok, err := r.RetrieveToken(ctx, TokenRequest{HTTP: req.HTTP, manager: req.manager, ForceRenewal: refused != nil, Rejected: refused})
	if errors.Is(err, errNotRenewed) {
		return refused, nil
	}
	if err != nil {
		return nil, err
	}
	if _, err := tok.header(); err != nil {
		return nil, &Error{Op: opExchange, Err: errNothingRetrieved}
	}
	return tok, nil
}

// refusedGrant reports whether the provider did not take the subject's token: RFC
// 8693 section 2.2.2 calls that invalid_request, RFC 6749 invalid_grant.
func refusedGrant(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Op == opExchange && slices.Contains([]string{"invalid_grant", "invalid_request", "invalid_token"}, e.Code)
}

// exchanged returns the token for those given, kept or new.
func (e *exchange) exchanged(ctx context.Context, m *Manager, req TokenRequest, given parties) (*Token, error) {
	req = req.withDefaults(&e.defaults).owned()
	if err := req.check(); err != nil {
		return nil, err
	}
	form := url.Values{
		"grant_type":         {opExchange},
		"subject_token":      {given.subject.AccessToken},
		"subject_token_type": {cmp.Or(e.o.SubjectTokenType, accessTokenType)},
	}
	set(form, "audience", e.o.Audience)
	set(form, "requested_token_type", e.o.RequestedTokenType)
	if given.actor != nil {
		form.Set("actor_token", given.actor.AccessToken)
		form.Set("actor_token_type", cmp.Or(e.o.ActorTokenType, accessTokenType))
	}
	if err := req.fill(form); err != nil {
		return nil, err
	}
	return m.asClient(ctx, req.Registration, func(c actingClient) (*Token, error) {
		return m.cachedToken(ctx, wanted{
			op: opExchange, client: c.name, key: digest("exchanged", c.identity, form.Encode()), outage: c.identity, force: req.ForceRenewal, rejected: req.Rejected,
			get: func(ctx context.Context, w wanted) (*heldToken, bool, error) {
				a, err := c.requestToken(ctx, opExchange, form)
				if err != nil {
					return nil, true, err
				}
				for _, of := range []*Token{given.subject, given.actor} {
					if of != nil && !of.Expiry.IsZero() && (a.expiry.IsZero() || of.Expiry.Before(a.expiry)) {
						a.expiry = of.Expiry
					}
				}
				t := m.stored(a, req.Scopes)
				t.AfterRejection = w.rejected != nil && !w.byHand
				return newHeldToken(t), true, nil
			},
		})
	})
}

func set(form url.Values, name, value string) {
	if value != "" {
		form.Set(name, value)
	}
}
