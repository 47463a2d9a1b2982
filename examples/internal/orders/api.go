package orders

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

// Path is the directory below which the API lives.
const Path = "/orders/"

// API is the protected API.
type API struct {
	Introspection string       // the provider's introspection endpoint (RFC 7662)
	ID, Secret    string       // the API's own credentials there
	HTTP          *http.Client // nil: one with a timeout
}

var errInactive = errors.New("the token is not active")

var book = map[string][]Order{
	"alice": {
		{ID: "A-2041", Item: "Stoneware mug, set of two", Placed: "2026-03-02", Status: "on its way", Cents: 3400},
		{ID: "A-1987", Item: "Linen tea towels", Placed: "2026-02-17", Status: "delivered", Cents: 2250},
		{ID: "A-1902", Item: "Copper watering can", Placed: "2026-01-28", Status: "delivered", Cents: 5895},
		{ID: "A-1856", Item: "Beeswax candles, dozen", Placed: "2026-01-09", Status: "delivered", Cents: 1980},
	},
	"bob": {
		{ID: "B-2044", Item: "Cast-iron skillet", Placed: "2026-03-03", Status: "packing", Cents: 6400},
		{ID: "B-1911", Item: "Walnut chopping board", Placed: "2026-01-30", Status: "delivered", Cents: 4750},
	},
}

// Handler serves the list to whoever has a living token with Scope, and answers 401 or 403 to anybody else (RFC 6750,
// section 3).
func (a API) Handler() http.Handler {
	if a.HTTP == nil {
		a.HTTP = &http.Client{Timeout: 5 * time.Second}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path+"list", func(w http.ResponseWriter, r *http.Request) {
		who, err := a.introspect(r.Context(), r.Header.Get("Authorization"))
		switch {
		case errors.Is(err, errInactive):
			w.Header().Set("WWW-Authenticate", `Bearer realm="orders", error="invalid_token"`)
			answer(w, http.StatusUnauthorized, map[string]string{"error": "invalid_token"})
		case err != nil:
			answer(w, http.StatusServiceUnavailable, map[string]string{"error": "the provider cannot be asked"})
		case !slices.Contains(strings.Fields(who.Scope), Scope):
			w.Header().Set("WWW-Authenticate", `Bearer realm="orders", error="insufficient_scope", scope="`+Scope+`"`)
			answer(w, http.StatusForbidden, map[string]string{"error": "insufficient_scope"})
		default:
			list := book[who.Username]
			if list == nil {
				list = []Order{}
			}
			answer(w, http.StatusOK, list)
		}
	})
	return mux
}

type introspection struct {
	Active   bool   `json:"active"`
	Username string `json:"username"`
	Scope    string `json:"scope"`
}

func (a API) introspect(ctx context.Context, authorization string) (introspection, error) {
	scheme, token, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return introspection{}, errInactive
	}
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.Introspection, strings.NewReader(form.Encode()))
	if err != nil {
		return introspection{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(a.ID), url.QueryEscape(a.Secret))
	resp, err := a.HTTP.Do(req)
	if err != nil {
		return introspection{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return introspection{}, fmt.Errorf("introspection answered %s", resp.Status)
	}
	var who introspection
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&who); err != nil {
		return introspection{}, err
	}
	if !who.Active {
		return introspection{}, errInactive
	}
	return who, nil
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a caller that left needs no answer
}
