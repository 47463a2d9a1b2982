package coretest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Always is a Fault.Times that keeps a fault in force until [Provider.Heal].
const Always = -1

// Ways to sign an ID token wrongly, for Fault.Signature.
const (
	SignedNone     = "none"  // alg none, and no signature
	SignedHS256    = "HS256" // alg HS256, the key being the PEM text of the public key
	SignedOtherKey = "other" // a key that is not the provider's, under the key ID of one that is
)

// Fault is one way in which the provider misbehaves. Its fields combine: first
// Before, then whatever stands in place of the request being processed, then the
// request is processed with its answer altered, then After, then DropAfter.
type Fault struct {
	// Endpoint is where; "": the token endpoint.
	Endpoint Endpoint

	// Grant is the grant type of the token requests that meet the fault; "": every
	// request.
	Grant string

	// Times is how many requests meet the fault; 0: one; Always: all, until Heal.
	// Faults wait in the order in which they came, those that last behind all others,
	// and a request meets one of them at most.
	Times int

	// Before and After are called before the request is processed, and between that
	// and its answer. They may block, advance the clock, or call any method of the
	// provider. nil: nothing is called.
	Before func()
	After  func()

	// Drop breaks the connection in place of processing the request. net/http's
	// transport sends a GET again when this happens on a connection that it has used
	// before.
	Drop bool

	// DropAfter processes the request, a refresh token of which is then consumed, and
	// breaks the connection in place of the answer.
	DropAfter bool

	// Hang neither processes the request nor answers it, until the client hangs up or
	// the test ends.
	Hang bool

	// Status and Body are answered in place of processing the request. Status 0 with a
	// Body is 200; both empty: the request is processed. A Body that is JSON is called
	// so, unless Header says otherwise.
	Status int
	Body   string

	// Endless answers with Status, Body and then more of it, until the client hangs up
	// or the test ends, in place of processing the request; Pause is waited between
	// its bytes. Pause 0: as fast as they are taken.
	Endless bool
	Pause   time.Duration

	// Header is set in the answer, whether that is the fault's or the provider's. nil:
	// nothing.
	Header http.Header

	// Answer changes the JSON of a successful answer: a token answer, the metadata,
	// the keys, a user's claims. nil: nothing.
	Answer func(answer map[string]any)

	// Redirect changes the parameters of an authorization response, an error's too. A
	// fault with Redirect waits for a request that ends in such a response, so showing
	// the login form does not use it up; besides Redirect it is its Header, After and
	// DropAfter that count. nil: nothing.
	Redirect func(query url.Values)

	// Claims changes the claims of an ID token before it is signed. nil: nothing.
	Claims func(claims map[string]any)

	// Signature is how ID tokens are signed: SignedNone, SignedHS256, SignedOtherKey;
	// "": rightly.
	Signature string
}

// Fail makes requests meet a fault.
func (p *Provider) Fail(f Fault) {
	p.t.Helper()
	if f.Endpoint == "" {
		f.Endpoint = TokenEndpoint
		if f.Redirect != nil {
			f.Endpoint = AuthorizationEndpoint
		}
	}
	if f.Times == 0 {
		f.Times = 1
	}
	switch {
	case !slices.Contains(endpoints, f.Endpoint):
		p.t.Fatalf("coretest: no endpoint %q", f.Endpoint)
	case f.Grant != "" && f.Endpoint != TokenEndpoint:
		p.t.Fatalf("coretest: a fault of %s cannot depend on a grant type", f.Endpoint)
	case f.Redirect != nil && f.Endpoint != AuthorizationEndpoint:
		p.t.Fatalf("coretest: %s has no authorization response to redirect", f.Endpoint)
	case !slices.Contains([]string{"", SignedNone, SignedHS256, SignedOtherKey}, f.Signature):
		p.t.Fatalf("coretest: no signature %q", f.Signature)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, &f)
}

// Heal clears all faults. Requests that hang go on hanging.
func (p *Provider) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
}

// takeFault uses up one time of the first fault that matches, a lasting one only if
// there is no other.
func (p *Provider) takeFault(matches func(*Fault) bool) (Fault, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.faults, func(f *Fault) bool { return f.Times > 0 && matches(f) })
	if i < 0 {
		if i = slices.IndexFunc(p.faults, matches); i < 0 {
			return Fault{}, false
		}
		return *p.faults[i], true
	}
	f := p.faults[i]
	if f.Times--; f.Times == 0 {
		p.faults = slices.Delete(p.faults, i, i+1)
	}
	return *f, true
}

// misbehave does what the fault does in place of processing the request, if it does
// anything.
func (p *Provider) misbehave(w http.ResponseWriter, r *http.Request, f Fault) bool {
	switch {
	case f.Drop:
		panic(http.ErrAbortHandler)
	case f.Hang:
		select {
		case <-r.Context().Done():
		case <-p.closing:
		}
		panic(http.ErrAbortHandler)
	case f.Status == 0 && f.Body == "" && !f.Endless:
		return false
	}
	if f.Endless || json.Valid([]byte(f.Body)) {
		w.Header().Set("Content-Type", "application/json")
	}
	f.addHeader(w.Header())
	w.WriteHeader(max(f.Status, http.StatusOK))
	_, _ = io.WriteString(w, f.Body)
	if f.Endless {
		p.writeForever(w, r, f.Pause)
	}
	return true
}

func (p *Provider) writeForever(w http.ResponseWriter, r *http.Request, pause time.Duration) {
	chunk := make([]byte, 32<<10)
	for i := range chunk {
		chunk[i] = ' ' // JSON allows any amount of it before a value
	}
	if pause > 0 {
		chunk = chunk[:1]
	}
	for {
		if _, err := w.Write(chunk); err != nil {
			return
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-p.closing:
			return
		case <-time.After(pause):
		}
	}
}

// alter changes an answer as the fault says.
func (f *Fault) alter(a *answer) {
	if f.Answer != nil && a.json != nil && a.status < 300 {
		f.Answer(a.json)
	}
	if f.Redirect != nil && a.to != nil {
		query := a.to.Query()
		f.Redirect(query)
		a.to.RawQuery = query.Encode()
	}
	if a.header == nil {
		a.header = http.Header{}
	}
	f.addHeader(a.header)
}

// addHeader replaces the fields that the fault names.
func (f *Fault) addHeader(h http.Header) {
	for name, values := range f.Header {
		h[http.CanonicalHeaderKey(name)] = values
	}
}
