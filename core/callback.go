package core

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
)

// FinishLogin takes the provider's answer to a login, the query of the callback.
// In this order it checks the state and that it is this browser's, the issuer
// (RFC 9207), exchanges the code, checks the ID token (OpenID Connect Core section
// 3.1.3.7), stores the login under a new ticket, and gives the browser a new
// session that holds it. A session that was there before is over.
//
// It fails with an *[Error] and leaves the browser's session as it was: one whose
// [StatusCode] is 400 when the answer must not be believed or says that the user
// was not signed in, with the provider's error code if it gave one.
func (m *Manager) FinishLogin(ctx context.Context, s Session, query url.Values) (*LoginResult, error) {
	if m == nil {
		return nil, ErrNoManager
	}
	before, browser, err := m.readSession(s)
	if err != nil {
		return nil, err
	}
	if err := checkAnswer(query); err != nil {
		return nil, err
	}
	pending, err := m.claimPending(ctx, browser, query.Get("state"))
	if err != nil {
		return nil, err
	}
	p, err := m.provider(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkResponse(p, query); err != nil {
		return nil, err
	}
	form := url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {query.Get("code")},
		"redirect_uri":  {pending.Redirect},
		"code_verifier": {pending.Verifier},
	}
	a, err := m.requestToken(ctx, m.app, "authorization_code", form)
	if err != nil {
		var e *Error
		if errors.As(err, &e) && e.Code == "invalid_grant" {
			e.refused = true // the code is not this login's, or has been used: a matter of the answer
		}
		return nil, err
	}
	ctx = context.WithoutCancel(ctx) // begun is done, whoever hangs up
	r, err := m.newRecord(ctx, p, a, pending)
	if err != nil {
		m.revoke(ctx, a.refreshToken)
		return nil, err
	}
	if a.refreshToken != "" {
		m.refused.Invalidate(digest(a.refreshToken)) // a provider may give one again
	}
	l, ticket, err := m.createLogin(ctx, r)
	if err != nil {
		m.revoke(ctx, a.refreshToken)
		return nil, err
	}
	old := m.loginBefore(ctx, before)
	state := browser.finished(pending, query.Get("state"), m.now().Unix())
	if err := m.admit(ctx, s, l, ticket, state, before == "" || old.sameUser(l)); err != nil {
		_, _ = m.remove(ctx, m.keys.session(ticket))
		m.revoke(ctx, a.refreshToken)
		return nil, err
	}
	if before != "" {
		m.replace(ctx, before, l)
	}
	return &LoginResult{User: l.user(), ReturnTo: pending.ReturnTo}, nil
}

// checkAnswer looks at what an answer may hold before anything is done with it:
// nothing twice, a state, and no token, which only ever comes by the back channel.
func checkAnswer(query url.Values) error {
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if len(query[name]) > 1 {
			return refusedCallback("a parameter came twice")
		}
	}
	switch {
	case query.Get("state") == "":
		return refusedCallback("the answer has no state")
	case query.Has("access_token"), query.Has("id_token"), query.Has("token_type"):
		return refusedCallback("the answer carries a token, which this flow does not")
	}
	return nil
}

// checkResponse looks at the issuer (RFC 9207 section 2.4), which errors must name
// as well, and at whether there is a code.
func checkResponse(p *provider, query url.Values) error {
	switch {
	case query.Has("iss") && query.Get("iss") != p.issuer:
		return refusedCallback("the answer is of another issuer")
	case !query.Has("iss") && p.issInResponses:
		return refusedCallback("the answer does not name its issuer, as this provider's do")
	case query.Get("error") != "":
		return &Error{
			Op:          opLogin,
			Code:        clean(query.Get("error"), 64, nil),
			Description: clean(query.Get("error_description"), 200, nil),
			refused:     true,
		}
	case query.Get("code") == "":
		return refusedCallback("the answer has no code")
	}
	return nil
}

// newRecord makes a login of a token answer, once its ID token has been checked.
func (m *Manager) newRecord(ctx context.Context, p *provider, a *answer, pending *pendingLogin) (*record, error) {
	if a.refreshToken == "" && slices.Contains(m.cfg.Scopes, "offline_access") {
		// Some give one only together with prompt=consent (OpenID Connect Core section 11).
		m.log.WarnContext(ctx, "tokenwell: offline_access was asked for, but no refresh token came: the session ends with its access token")
	}
	now := m.now()
	r := &record{
		RefreshToken: a.refreshToken,
		Tokens:       map[string]storedToken{"": m.stored(a, m.cfg.Scopes)},
		Created:      now.UnixMilli(),
		Used:         now.UnixMilli(),
		Expires:      now.Add(m.cfg.Lifetime).UnixMilli(),
	}
	if !m.cfg.openID() {
		r.Issuer = p.issuer
		return r, nil
	}
	c, err := m.checkLoginIDToken(ctx, p, a, pending)
	switch {
	case errors.Is(err, errKeysUnreachable):
		return nil, &Error{Op: opLogin, transient: true, Err: err}
	case err != nil:
		return nil, &Error{Op: opLogin, refused: true, Err: err}
	}
	r.Issuer, r.Subject, r.SID, r.IDToken = c.Issuer, c.Subject, c.SID, a.idToken
	return r, nil
}

// createLogin stores a new login under a new ticket.
func (m *Manager) createLogin(ctx context.Context, r *record) (*login, Ticket, error) {
	ticket := Ticket(newSecret())
	rev, err := m.swap(ctx, m.keys.session(ticket), "", r)
	if err == nil && rev == "" {
		err = storeError(errors.New("a login could not be stored"))
	}
	if err != nil {
		return nil, "", err
	}
	return m.newLogin(r, rev), ticket, nil
}

// admit lets the application refuse a stored login, and gives the browser its new
// session.
func (m *Manager) admit(ctx context.Context, s Session, l *login, ticket Ticket, state loginState, sameUser bool) error {
	if m.cfg.OnLogin != nil {
		err := m.hook(ctx, "OnLogin", func() error { return m.cfg.OnLogin(m.WithTicket(ctx, ticket), l.user()) })
		if err != nil {
			return &Error{Op: opLogin, refused: true, Err: fmt.Errorf("OnLogin: %w", err)}
		}
	}
	if err := m.renewSession(s, ticket, state, sameUser); err != nil {
		return sessionError(err)
	}
	return nil
}

// loginBefore returns the login that a browser had before, nil for none. One that
// cannot be read is nobody's.
func (m *Manager) loginBefore(ctx context.Context, before Ticket) *login {
	if before == "" {
		return nil
	}
	old, err := m.load(ctx, m.keys.session(before))
	if err != nil {
		m.log.ErrorContext(ctx, "tokenwell: a session that is to be replaced could not be read", "error", err)
	}
	return old
}

// sameUser reports whether two logins are of one user, who must be known.
func (l *login) sameUser(other *login) bool {
	return l != nil && l.Subject != "" && l.Issuer == other.Issuer && l.Subject == other.Subject
}

// replace ends the session that a browser had before l. Its refresh token is
// revoked only if it was another user's: many providers would end the new login
// with it, both being one grant of one user to one client.
func (m *Manager) replace(ctx context.Context, before Ticket, l *login) {
	old, err := m.remove(ctx, m.keys.session(before))
	if err != nil {
		m.log.ErrorContext(ctx, "tokenwell: a replaced session could not be deleted", "error", err)
	}
	if old == nil {
		return
	}
	if !old.sameUser(l) {
		m.revoke(ctx, old.RefreshToken)
	}
	if err != nil {
		return
	}
	m.sessionEnded(ctx, old, EndReplaced)
}
