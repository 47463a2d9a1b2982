package idp

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// requestLife is how long somebody may look at the sign-in form.
const requestLife = 10 * time.Minute

var errNoRequest = errors.New("this sign-in is unknown or has expired")

// authRequest is one sign-in, from the browser's arrival until its code is redeemed.
type authRequest struct {
	id       string
	asked    oidc.AuthRequest
	created  time.Time
	user     *user // nil until the password was right
	authTime time.Time
}

func (a *authRequest) GetID() string                      { return a.id }
func (a *authRequest) GetACR() string                     { return "" }
func (a *authRequest) GetAMR() []string                   { return []string{"pwd"} }
func (a *authRequest) GetAudience() []string              { return []string{a.asked.ClientID} }
func (a *authRequest) GetAuthTime() time.Time             { return a.authTime }
func (a *authRequest) GetClientID() string                { return a.asked.ClientID }
func (a *authRequest) GetNonce() string                   { return a.asked.Nonce }
func (a *authRequest) GetRedirectURI() string             { return a.asked.RedirectURI }
func (a *authRequest) GetResponseType() oidc.ResponseType { return a.asked.ResponseType }
func (a *authRequest) GetResponseMode() oidc.ResponseMode { return a.asked.ResponseMode }
func (a *authRequest) GetScopes() []string                { return a.asked.Scopes }
func (a *authRequest) GetState() string                   { return a.asked.State }
func (a *authRequest) Done() bool                         { return a.user != nil }

func (a *authRequest) GetSubject() string {
	if a.user == nil {
		return ""
	}
	return a.user.subject
}

func (a *authRequest) GetCodeChallenge() *oidc.CodeChallenge {
	return &oidc.CodeChallenge{Challenge: a.asked.CodeChallenge, Method: a.asked.CodeChallengeMethod}
}

// CreateAuthRequest insists on S256 PKCE (RFC 9700, section 2.1.1), although the client has a secret.
func (s *storage) CreateAuthRequest(_ context.Context, asked *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	if asked.CodeChallenge == "" || asked.CodeChallengeMethod != oidc.CodeChallengeMethodS256 {
		return nil, oidc.ErrInvalidRequest().WithDescription("PKCE with S256 is required")
	}
	if slices.Contains(asked.Prompt, oidc.PromptNone) {
		return nil, oidc.ErrLoginRequired() // nobody stays signed in here: each sign-in asks for the password
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(s.requests, func(_ string, a *authRequest) bool { return a.expired(now) })
	maps.DeleteFunc(s.codes, func(_, id string) bool { return s.requests[id] == nil })
	a := &authRequest{id: rand.Text(), asked: *asked, created: now}
	s.requests[a.id] = a
	return a, nil
}

func (a *authRequest) expired(now time.Time) bool { return now.Sub(a.created) > requestLife }

// AuthRequestByID answers with a copy: a password that is checked meanwhile does not change what the caller holds.
func (s *storage) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	a, err := s.request(id)
	if err != nil {
		return nil, err
	}
	return a, nil
}

func (s *storage) request(id string) (*authRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.requests[id]
	if a == nil || a.expired(time.Now()) {
		return nil, errNoRequest
	}
	held := *a
	return &held, nil
}

// authenticate says whether the password was right, and if so lets the request go on.
func (s *storage) authenticate(id, username, password string) (bool, error) {
	u := checkPassword(username, password)
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.requests[id]
	if a == nil || a.expired(time.Now()) {
		return false, errNoRequest
	}
	if u == nil {
		return false, nil
	}
	a.user, a.authTime = u, time.Now()
	return true, nil
}

// SaveAuthCode keeps the code that stands for the request.
func (s *storage) SaveAuthCode(_ context.Context, id, code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.requests[id] == nil {
		return errNoRequest
	}
	s.codes[code] = id
	return nil
}

// AuthRequestByCode spends the code, whatever comes of it: a second try with it fails.
func (s *storage) AuthRequestByCode(_ context.Context, code string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.requests[s.codes[code]]
	delete(s.codes, code)
	if a == nil || a.expired(time.Now()) {
		return nil, errNoRequest
	}
	held := *a
	return &held, nil
}

// DeleteAuthRequest ends a request whose tokens were issued.
func (s *storage) DeleteAuthRequest(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.requests, id)
	return nil
}
