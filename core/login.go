package core

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// pendingFor is how long a login may take at the provider.
const pendingFor = 10 * time.Minute

// LoginOptions say what a login is started with. The zero value is the plain one.
type LoginOptions struct {
	// ReturnTo is the local path at which the browser ends up; anything that could
	// lead off the site, and "", is "/".
	ReturnTo string
	// Params are further parameters of the authorization request, such as
	// login_hint; they replace those of Config.LoginParams.
	Params url.Values
}

// LoginResult is what a finished login leads to.
type LoginResult struct {
	User     *User
	ReturnTo string // a local path
}

// pendingLogin is a login under way. It lies in the Store under the digest of its
// state; the browser holds nothing of it but the secret that it is bound to.
type pendingLogin struct {
	Version  int    `json:"v"`
	Browser  string `json:"browser"` // digest of the browser's secret
	Issuer   string `json:"iss"`
	Verifier string `json:"verifier"`
	Nonce    string `json:"nonce"`
	ReturnTo string `json:"return_to"`
	Redirect string `json:"redirect_uri"`
	Started  int64  `json:"started"`           // Unix seconds
	MaxAge   *int64 `json:"max_age,omitempty"` // seconds, where the request asked for one
}

// StartLogin begins a login in the browser whose session s is, and returns the URL
// at the provider to send it to: authorization code flow with PKCE (RFC 7636,
// S256), state and nonce. Several may be under way in one browser.
//
// It fails with an *[Error] when the provider has not been reached, the store
// fails, or s cannot be saved.
func (m *Manager) StartLogin(ctx context.Context, s Session, o LoginOptions) (string, error) {
	if m == nil {
		return "", ErrNoManager
	}
	if m.cfg.RedirectURL == "" {
		return "", configError("Config.RedirectURL is empty: a program without it has no logins")
	}
	if err := checkParams(o.Params, "LoginOptions.Params"); err != nil {
		return "", err
	}
	p, err := m.provider(ctx)
	if err != nil {
		return "", err
	}
	_, browser, err := m.readSession(s)
	if err != nil {
		return "", err
	}
	if browser.Secret == "" {
		browser.Secret = newSecret()
		m.writeLoginState(s, browser)
		if err := s.Save(); err != nil {
			return "", sessionError(err)
		}
	}
	maxAge, err := m.maxAge(o.Params)
	if err != nil {
		return "", err
	}
	state := newSecret()
	pending := pendingLogin{
		Version:  recordVersion,
		Browser:  digest(browser.Secret),
		Issuer:   p.issuer,
		Verifier: oauth2.GenerateVerifier(),
		Nonce:    newSecret(),
		ReturnTo: LocalPath(o.ReturnTo),
		Redirect: m.cfg.RedirectURL,
		Started:  m.now().Unix(),
		MaxAge:   maxAge,
	}
	if err := m.createPending(ctx, state, &pending); err != nil {
		return "", err
	}
	return m.authorizationURL(p, state, &pending, o.Params)
}

// maxAge returns the max_age that a login asks for, nil for none: the browser could
// strip it on the way, so the answer is held against it.
func (m *Manager) maxAge(params url.Values) (*int64, error) {
	values := params
	if !values.Has("max_age") {
		values = m.cfg.LoginParams
	}
	if !values.Has("max_age") {
		return nil, nil
	}
	seconds, err := strconv.ParseInt(values.Get("max_age"), 10, 64)
	if err != nil || seconds < 0 {
		return nil, configError("max_age is not a number of seconds")
	}
	return &seconds, nil
}

func (m *Manager) createPending(ctx context.Context, state string, pending *pendingLogin) error {
	value, err := json.Marshal(pending)
	if err != nil {
		return storeError(err)
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	rev, err := m.store.Swap(ctx, m.keys.pending(state), "", value, pendingFor)
	if err == nil && rev == "" {
		err = errors.New("a login under way could not be stored")
	}
	if err != nil {
		return storeError(err)
	}
	return nil
}

func (m *Manager) authorizationURL(p *provider, state string, pending *pendingLogin, params url.Values) (string, error) {
	u, err := url.Parse(p.Authorization)
	if err != nil {
		return "", &Error{Op: opLogin, Err: errors.New("the authorization endpoint is not a URL")}
	}
	q := u.Query()
	for _, more := range []url.Values{m.cfg.LoginParams, params} {
		for name, values := range more {
			q[name] = values
		}
	}
	q.Set("response_type", "code")
	q.Set("client_id", m.cfg.ClientID)
	q.Set("redirect_uri", pending.Redirect)
	if len(m.cfg.Scopes) > 0 {
		q.Set("scope", strings.Join(m.cfg.Scopes, " "))
	}
	q.Set("state", state)
	if m.cfg.openID() {
		q.Set("nonce", pending.Nonce)
	}
	q.Set("code_challenge", oauth2.S256ChallengeFromVerifier(pending.Verifier))
	q.Set("code_challenge_method", "S256")
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// claimPending finds the login under way that an answer belongs to and claims it:
// each state works once, and only in the browser that it was made for. A state
// that another browser brings stays usable in its own.
func (m *Manager) claimPending(ctx context.Context, browser loginState, state string) (*pendingLogin, error) {
	key := m.keys.pending(state)
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	value, rev, err := m.store.Load(ctx, key)
	if err != nil {
		return nil, storeError(err)
	}
	var pending pendingLogin
	if rev == "" || json.Unmarshal(value, &pending) != nil {
		return nil, refusedCallback("no login is under way for this state: it was finished, took too long, or never began here")
	}
	if m.now().After(time.Unix(pending.Started, 0).Add(pendingFor)) {
		return nil, refusedCallback("the login took too long")
	}
	if !browser.started(&pending) {
		return nil, refusedCallback("the login was started in another browser")
	}
	deleted, err := m.store.Delete(ctx, key, rev)
	switch {
	case err != nil:
		return nil, storeError(err)
	case !deleted:
		return nil, refusedCallback("the login has just been finished by another request")
	case pending.Issuer != m.cfg.Issuer, pending.Redirect != m.cfg.RedirectURL:
		return nil, refusedCallback("the login was started at another provider")
	}
	return &pending, nil
}

func sameSecret(secret, wanted string) bool {
	return secret != "" && subtle.ConstantTimeCompare([]byte(digest(secret)), []byte(wanted)) == 1
}

// refusedCallback is an answer that must not be believed.
func refusedCallback(reason string) error {
	return &Error{Op: opLogin, refused: true, Err: errors.New(reason)}
}
