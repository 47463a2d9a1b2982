package coretest

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
)

// Endpoint names one of the provider's endpoints.
type Endpoint string

// The provider's endpoints.
const (
	DiscoveryEndpoint     Endpoint = "discovery"
	KeysEndpoint          Endpoint = "jwks"
	AuthorizationEndpoint Endpoint = "authorize"
	TokenEndpoint         Endpoint = "token"
	RevocationEndpoint    Endpoint = "revocation"
	UserInfoEndpoint      Endpoint = "userinfo"
	EndSessionEndpoint    Endpoint = "end_session"
)

var endpoints = []Endpoint{
	DiscoveryEndpoint, KeysEndpoint, AuthorizationEndpoint, TokenEndpoint, RevocationEndpoint, UserInfoEndpoint,
	EndSessionEndpoint,
}

// Request is a request that reached the provider, secrets and all.
type Request struct {
	Method string
	URL    string     // path and query
	Form   url.Values // the query's parameters and the body's
	Header http.Header
}

// Requests returns the requests that have reached an endpoint, the oldest first,
// those that met a fault included.
func (p *Provider) Requests(e Endpoint) []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests[e])
}

// request is one that is being answered.
type request struct {
	*http.Request
	fault Fault // the zero Fault where there is none
}

// answer is what an endpoint has decided to say; nothing is written before After
// and DropAfter have had their say.
type answer struct {
	status int
	header http.Header
	json   map[string]any // the body, or
	body   string
	to     *url.URL // for an authorization response, where it goes
}

func (a answer) with(key, value string) answer {
	if a.header == nil {
		a.header = http.Header{}
	}
	a.header.Add(key, value)
	return a
}

func jsonAnswer(status int, object map[string]any) answer {
	return answer{status: status, json: object}.
		with("Content-Type", "application/json").
		with("Cache-Control", "no-store")
}

// oauthError is an error answer of RFC 6749, section 5.2.
func oauthError(status int, code, description string) answer {
	return jsonAnswer(status, map[string]any{"error": code, "error_description": description})
}

func (a answer) writeTo(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	if a.to != nil {
		w.Header().Set("Location", a.to.String())
	}
	w.WriteHeader(a.status)
	if a.json == nil {
		_, _ = io.WriteString(w, a.body)
		return
	}
	_ = json.NewEncoder(w).Encode(a.json)
}

// endpoint records a request, lets it meet its fault, and has it served.
func (p *Provider) endpoint(e Endpoint, serve func(*request) answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
		formErr := r.ParseForm()
		fault := p.arrive(e, r)
		if fault.Before != nil {
			fault.Before()
		}
		if p.misbehave(w, r, fault) {
			return
		}
		a := oauthError(http.StatusBadRequest, "invalid_request", "malformed form")
		if formErr == nil {
			a = serve(&request{Request: r, fault: fault})
		}
		if a.to != nil && fault.Redirect == nil {
			if late, ok := p.takeFault(func(f *Fault) bool { return f.Endpoint == e && f.Redirect != nil }); ok {
				fault = late
			}
		}
		fault.alter(&a)
		if fault.After != nil {
			fault.After()
		}
		if fault.DropAfter {
			panic(http.ErrAbortHandler)
		}
		a.writeTo(w)
	})
}

// arrive records a request and finds the fault that it meets.
func (p *Provider) arrive(e Endpoint, r *http.Request) Fault {
	p.mu.Lock()
	p.requests[e] = append(p.requests[e], Request{
		Method: r.Method,
		URL:    r.URL.RequestURI(),
		Form:   cloneValues(r.Form),
		Header: r.Header.Clone(),
	})
	p.mu.Unlock()
	grant := r.PostForm.Get("grant_type")
	fault, _ := p.takeFault(func(f *Fault) bool {
		return f.Endpoint == e && f.Redirect == nil && (f.Grant == "" || f.Grant == grant)
	})
	return fault
}

func cloneValues(v url.Values) url.Values {
	return url.Values(http.Header(v).Clone())
}
