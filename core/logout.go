package core

import (
	"context"
	"errors"
	"net/url"
	"time"
)

// revokeTimeout bounds the revocation at the provider, which a user waits for at
// logout.
const revokeTimeout = 5 * time.Second

// Logout ends the session of the user whose browser session s is: the login is
// deleted first, then its refresh token is revoked as far as the provider lets
// itself be reached, and the browser's session is made anew. It returns where at
// the provider to send the browser (OpenID Connect RP-Initiated Logout 1.0), or ""
// when the provider has no such endpoint. Signing out twice is fine.
//
// It fails when the browser's session cannot be read or saved, or the login cannot be
// deleted. Once the login is deleted its ticket is worth nothing, saved or not.
func (m *Manager) Logout(ctx context.Context, s Session) (endSessionURL string, err error) {
	if m == nil {
		return "", ErrNoManager
	}
	ticket, _, err := m.readSession(s)
	if err != nil {
		return "", err
	}
	var l *login
	if ticket != "" {
		ctx := context.WithoutCancel(ctx) // begun is done, whoever hangs up
		l, err = m.remove(ctx, m.keys.session(ticket))
		if l != nil {
			m.revoke(ctx, l.RefreshToken) // on doubt too: another try may find nothing to revoke
		}
		if err != nil {
			return "", err
		}
		if l != nil {
			m.sessionEnded(ctx, l, EndLogout)
		}
	}
	if err := s.Renew(); err != nil {
		return "", sessionError(err)
	}
	if err := s.Save(); err != nil {
		return "", sessionError(err)
	}
	return m.endSessionURL(l), nil
}

func (m *Manager) endSessionURL(l *login) string {
	p := m.discovery.known.Load()
	if p == nil || p.EndSession == "" {
		return ""
	}
	u, err := url.Parse(p.EndSession)
	if err != nil {
		return ""
	}
	q := u.Query()
	q.Set("client_id", m.cfg.ClientID)
	if m.cfg.PostLogoutRedirectURL != "" {
		q.Set("post_logout_redirect_uri", m.cfg.PostLogoutRedirectURL)
	}
	if l != nil && l.IDToken != "" {
		q.Set("id_token_hint", l.IDToken)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// RevokeRefreshToken takes the refresh token out of the session of the user who is
// signed in in ctx and revokes it at the provider (RFC 7009). The session goes on
// for as long as its access token lives. A refresh under way loses.
//
// It fails with [ErrLoginRequired] without a session, and with an *[Error] when
// the provider could not be told, or has no endpoint for it; the token is out of
// the session all the same.
func (m *Manager) RevokeRefreshToken(ctx context.Context) error {
	if m == nil {
		return ErrNoManager
	}
	b, ctx := m.binding(ctx)
	if b == nil {
		return errNoTicket
	}
	if err := b.read(); err != nil {
		return err
	}
	for range maxRounds {
		l, err := m.load(ctx, b.key)
		if err != nil {
			return err
		}
		if l == nil {
			return errSessionOver
		}
		if l.RefreshToken == "" {
			return nil
		}
		r := l.clone()
		r.RefreshToken, r.Claim, r.Unanswered = "", nil, ""
		rev, err := m.swap(ctx, b.key, l.rev, r)
		if err != nil {
			// It may have been written; then the token is out of the session.
			switch now, loadErr := m.load(ctx, b.key); {
			case loadErr != nil: // another try may find nothing to revoke
				_ = m.postRevocation(context.WithoutCancel(ctx), l.RefreshToken)
				return err
			case now != nil && now.RefreshToken != "":
				return err
			}
			rev = "written"
		}
		if rev != "" {
			return m.postRevocation(context.WithoutCancel(ctx), l.RefreshToken)
		}
	}
	return storeError(errContended)
}

// revoke revokes a refresh token as far as the provider lets itself be reached.
func (m *Manager) revoke(ctx context.Context, refreshToken string) {
	if refreshToken == "" {
		return
	}
	if err := m.postRevocation(context.WithoutCancel(ctx), refreshToken); err != nil {
		m.log.WarnContext(ctx, "tokenwell: a refresh token could not be revoked", "error", err)
	}
}

func (m *Manager) postRevocation(ctx context.Context, refreshToken string) error {
	ctx, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	p, err := m.provider(ctx)
	if err != nil {
		return err
	}
	if p.Revocation == "" {
		return &Error{Op: opRevocation, Err: errors.New("the provider has no revocation endpoint")}
	}
	_, _, err = m.post(ctx, m.app, opRevocation, p.Revocation, url.Values{
		"token": {refreshToken}, "token_type_hint": {"refresh_token"},
	})
	return err
}
