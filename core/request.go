package core

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// TokenRequest says which token is wanted. The zero value is the one that the
// configuration describes.
//
// Field by field, what a wrapping [TokenRetriever] sets comes first, then the
// options of the call or of [WithOptions], then those of [UserToken] or
// [ClientToken], then [Config] or the [Registration].
type TokenRequest struct {
	Registration string        // "" is the application itself
	Scopes       []string      // nil: unset; empty: none
	Resource     string        // RFC 8707: where the token is to be used
	Params       url.Values    // further parameters for the token endpoint; nil: unset
	ForceRenewal bool          // ask anew, whatever is stored
	Rejected     *Token        // the token that the API refused, if any; set with ForceRenewal after a 401
	HTTP         *http.Request // the outgoing request with its absolute URL, to be read only; never nil: an empty one when asked by hand

	manager *Manager // of the named client that asks; nil: the context's
}

// Manager returns the manager that the token is for, such as for a retriever that
// calls its RequestToken. It is nil, and its methods answer with [ErrNoManager], in a
// request that was made by hand.
func (r TokenRequest) Manager() *Manager { return r.manager }

// TokenOption asks for something other than what is configured.
type TokenOption func(*TokenRequest)

// WithRegistration asks for a token of this registration ([Config] Registrations,
// FindRegistration) instead of the application's own.
func WithRegistration(name string) TokenOption {
	return func(r *TokenRequest) { r.Registration = name }
}

// WithScopes asks for these scopes; without arguments, for none.
func WithScopes(scopes ...string) TokenOption {
	scopes = append([]string{}, scopes...)
	return func(r *TokenRequest) { r.Scopes = slices.Clone(scopes) }
}

// WithResource asks for a token for this resource (RFC 8707).
func WithResource(resource string) TokenOption {
	return func(r *TokenRequest) { r.Resource = resource }
}

// WithParams adds parameters to the token request. Those that are the protocol's
// own (grant_type, client_id, scope and the like) are refused when the token is asked for.
func WithParams(params url.Values) TokenOption {
	params = cloneParams(params)
	return func(r *TokenRequest) { r.Params = cloneParams(params) }
}

// WithForceRenewal asks for a new token though the stored one may be alive.
func WithForceRenewal() TokenOption {
	return func(r *TokenRequest) { r.ForceRenewal = true }
}

func cloneParams(params url.Values) url.Values { return url.Values(http.Header(params).Clone()) }

type optionsKey struct{}

// WithOptions returns a context that applies opts to the token of the one
// outgoing request of a named client that is made with it. They do not reach
// calls nested in that request, nor the requests of a redirect's further steps
// when they force a renewal.
func WithOptions(ctx context.Context, opts ...TokenOption) context.Context {
	outer, _ := ctx.Value(optionsKey{}).([]TokenOption)
	return context.WithValue(ctx, optionsKey{}, slices.Concat(outer, opts))
}

// takeOptions applies the context's options to req and returns a context
// without them, for whatever is called on the way to the token.
func takeOptions(ctx context.Context, req TokenRequest) (context.Context, TokenRequest) {
	opts, _ := ctx.Value(optionsKey{}).([]TokenOption)
	if len(opts) == 0 {
		return ctx, req
	}
	return context.WithValue(ctx, optionsKey{}, []TokenOption(nil)), req.with(opts)
}

// with returns req with opts applied.
func (r TokenRequest) with(opts []TokenOption) TokenRequest {
	if len(opts) == 0 {
		return r
	}
	asked := r // on the heap, for options alone
	for _, opt := range opts {
		opt(&asked)
	}
	return asked
}

// withDefaults fills what req leaves unset from d.
func (r TokenRequest) withDefaults(d *TokenRequest) TokenRequest {
	if r.Registration == "" {
		r.Registration = d.Registration
	}
	if r.Scopes == nil {
		r.Scopes = d.Scopes
	}
	if r.Resource == "" {
		r.Resource = d.Resource
	}
	if r.Params == nil {
		r.Params = d.Params
	}
	r.ForceRenewal = r.ForceRenewal || d.ForceRenewal
	return r
}

// asker returns the manager on whose behalf r is made: that of the named client, or
// the context's where a retriever was handed a request of nobody's.
func (r *TokenRequest) asker(ctx context.Context) (*Manager, error) {
	m := r.manager
	if m == nil {
		m = From(ctx)
	}
	if m == nil {
		return nil, ErrNoManager
	}
	return m, nil
}

// slot names the token that r asks for within a login: equal for requests that
// only differ in the order of their scopes, "" for the token of the login itself.
func (r *TokenRequest) slot() string {
	if len(r.Scopes) == 0 && r.Resource == "" && len(r.Params) == 0 {
		return ""
	}
	scopes := slices.Compact(slices.Sorted(slices.Values(r.Scopes)))
	parts := []string{strings.Join(scopes, " "), r.Resource, r.Params.Encode()} // url.Values encodes sorted by key
	if !utf8.ValidString(parts[0]) || !utf8.ValidString(parts[1]) {
		return url.Values{"scope": parts[:1], "resource": parts[1:2], "params": parts[2:]}.Encode() // JSON would lose bytes
	}
	text, _ := json.Marshal(parts) // keeps the three apart
	return string(text)
}

// plain reports whether r asks for the token of the login itself, whichever it is.
func (r *TokenRequest) plain() bool {
	return r.Registration == "" && len(r.Scopes) == 0 && r.Resource == "" && len(r.Params) == 0 &&
		!r.ForceRenewal && r.Rejected == nil
}

// fill writes what r asks for into the form of a token request. What the caller
// gave replaces what stands there; the protocol's own parameters stay ours.
func (r *TokenRequest) fill(form url.Values) error {
	if err := r.check(); err != nil {
		return err
	}
	for name, values := range r.Params {
		form[name] = values
	}
	if len(r.Scopes) > 0 {
		form.Set("scope", strings.Join(unique(r.Scopes), " "))
	}
	if r.Resource != "" {
		form.Set("resource", r.Resource)
	}
	return nil
}

// check refuses what is the protocol's own, and what would say more than one thing: a
// scope with a space in it is two (RFC 6749 section 3.3).
func (r *TokenRequest) check() error {
	if err := checkScopes("TokenRequest.Scopes", r.Scopes); err != nil {
		return err
	}
	return checkParams(r.Params, "TokenRequest.Params")
}

// owned returns r with slices and maps of its own: what outlives the call must not
// change when the caller's does.
func (r TokenRequest) owned() TokenRequest {
	r.Scopes, r.Params = slices.Clone(r.Scopes), cloneParams(r.Params)
	return r
}

// unique returns list without the repetitions in it.
func unique(list []string) []string {
	var once []string
	for _, s := range list {
		if !slices.Contains(once, s) {
			once = append(once, s)
		}
	}
	return once
}

// ownParams are the parameters that decide who asks and with what right; letting
// a caller replace one would break the protocol rather than extend it.
var ownParams = []string{
	"actor_token", "actor_token_type", "client_assertion", "client_assertion_type", "client_id", "client_secret", "code", "code_challenge",
	"code_challenge_method", "code_verifier", "grant_type", "nonce", "redirect_uri", "refresh_token",
	"response_mode", "response_type", "scope", "state", "subject_token",
	"subject_token_type",
}

func checkParams(params url.Values, field string) error {
	for name := range params {
		if slices.Contains(ownParams, name) {
			return configError("%s: %q belongs to the protocol and cannot be set", field, name)
		}
	}
	return nil
}

func (r TokenRequest) redacted() string {
	names := make([]string, 0, len(r.Params))
	for name := range r.Params {
		names = append(names, name)
	}
	slices.Sort(names)
	return fmt.Sprintf("core.TokenRequest{Registration:%q Scopes:%v Resource:%q Params:%v ForceRenewal:%t}",
		r.Registration, r.Scopes, r.Resource, names, r.ForceRenewal)
}

// Format implements fmt.Formatter without the values of parameters or any token.
func (r TokenRequest) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, r.redacted()) }

// LogValue implements slog.LogValuer, as Format does.
func (r TokenRequest) LogValue() slog.Value { return slog.StringValue(r.redacted()) }

// MarshalJSON implements json.Marshaler, as Format does.
func (r TokenRequest) MarshalJSON() ([]byte, error) { return json.Marshal(r.redacted()) }
