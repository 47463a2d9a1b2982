// Package introspection is how the examples' APIs ask the provider about the tokens that they are shown (RFC 7662).
package introspection

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Endpoint is the provider's introspection endpoint, as one API uses it.
type Endpoint struct {
	URL        string
	ID, Secret string // the API's own credentials there
}

// Caller is whom the provider gave a token to.
type Caller struct {
	Username string `json:"username"` // "": an application in its own name
	Client   string `json:"client_id"`
	Scope    string `json:"scope"`
	Expiry   int64  `json:"exp"` // Unix seconds
	Actor    struct {
		Subject string `json:"sub"` // who acts for the user, if anybody says so (RFC 8693, section 4.1)
	} `json:"act"`
}

// String is the caller's name.
func (c Caller) String() string {
	switch {
	case c.Username == "":
		return c.Client
	case c.Actor.Subject != "":
		return c.Username + " through " + c.Actor.Subject
	}
	return c.Username
}

// May says whether the token has the scope.
func (c Caller) May(scope string) bool { return slices.Contains(strings.Fields(c.Scope), scope) }

// ErrInactive is the provider's word about a token that is not alive.
var ErrInactive = errors.New("the token is not active")

// backchannel keeps a connection for each of many requests at a time.
var backchannel = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// Ask returns whose token it is that an Authorization header holds, or ErrInactive.
func (e Endpoint) Ask(ctx context.Context, authorization string) (Caller, error) {
	scheme, token, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return Caller{}, ErrInactive
	}
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return Caller{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(e.ID), url.QueryEscape(e.Secret))
	resp, err := backchannel.Do(req)
	if err != nil {
		return Caller{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return Caller{}, fmt.Errorf("introspection answered %s", resp.Status)
	}
	var answer struct {
		Active bool `json:"active"`
		Caller
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&answer); err != nil {
		return Caller{}, err
	}
	if !answer.Active {
		return Caller{}, ErrInactive
	}
	return answer.Caller, nil
}

// Protect lets in whoever has a living token with the scope, and answers 401 or 403 to anybody else (RFC 6750, section 3).
func (e Endpoint) Protect(scope string, serve func(http.ResponseWriter, *http.Request, Caller)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := e.Ask(r.Context(), r.Header.Get("Authorization"))
		challenge := fmt.Sprintf("Bearer realm=%q", scope)
		switch {
		case errors.Is(err, ErrInactive):
			w.Header().Set("WWW-Authenticate", challenge+`, error="invalid_token"`)
			Answer(w, http.StatusUnauthorized, map[string]string{"error": "invalid_token"})
		case err != nil:
			Answer(w, http.StatusServiceUnavailable, map[string]string{"error": "the provider cannot be asked"})
		case !who.May(scope):
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`%s, error="insufficient_scope", scope=%q`, challenge, scope))
			Answer(w, http.StatusForbidden, map[string]string{"error": "insufficient_scope"})
		default:
			serve(w, r, who)
		}
	})
}

// Answer answers with JSON that no cache keeps.
func Answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a caller that left needs no answer
}
