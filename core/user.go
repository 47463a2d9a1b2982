package core

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"time"
)

// User is who signed in, as the provider's ID token says. It prints without its
// claims, which may be personal.
type User struct {
	Issuer    string
	Subject   string    // unique for the issuer; "" in a login without OpenID Connect
	SID       string    // the provider's name for its session, if it gave one
	SignedIn  time.Time // when this login was made
	ExpiresAt time.Time // when it ends at the latest

	claims json.RawMessage
}

// Claims decodes the claims of the newest ID token into v, as json.Unmarshal does.
// Without OpenID Connect there are none, and v is left as it is.
func (u *User) Claims(v any) error {
	if u == nil || len(u.claims) == 0 {
		return nil
	}
	return json.Unmarshal(u.claims, v)
}

// Format implements fmt.Formatter without the claims.
func (u User) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "core.User{Issuer:%q Subject:%q}", u.Issuer, u.Subject)
}

// LogValue implements slog.LogValuer without the claims.
func (u User) LogValue() slog.Value {
	return slog.GroupValue(slog.String("issuer", u.Issuer), slog.String("subject", u.Subject))
}

// User returns who is signed in in ctx. It fails with [ErrLoginRequired] when
// nobody is, and with a temporary *[Error] when the store cannot say.
func (m *Manager) User(ctx context.Context) (*User, error) {
	if m == nil {
		return nil, ErrNoManager
	}
	b, ctx := m.binding(ctx)
	l, err := m.currentLogin(ctx, b)
	if err == nil && l == nil {
		l, err = m.load(ctx, b.key)
	}
	if err != nil {
		return nil, err
	}
	if l == nil || m.over(ctx, b, l) {
		return nil, errSessionOver
	}
	return l.user(), nil
}

func (l *login) user() *User {
	u := &User{
		Issuer:    l.Issuer,
		Subject:   l.Subject,
		SID:       l.SID,
		SignedIn:  time.UnixMilli(l.Created),
		ExpiresAt: time.UnixMilli(l.Expires),
	}
	if l.IDToken != "" {
		u.claims, _ = jwtPayload(l.IDToken)
	}
	return u
}

// claimsDiffer compares what two ID tokens say of the user, leaving aside what
// differs from token to token.
func claimsDiffer(a, b string) bool {
	return !reflect.DeepEqual(lastingClaims(a), lastingClaims(b))
}

func lastingClaims(raw string) map[string]any {
	payload, err := jwtPayload(raw)
	if err != nil {
		return nil
	}
	var claims map[string]any
	_ = json.Unmarshal(payload, &claims)
	for _, name := range []string{"iat", "exp", "nbf", "jti", "at_hash", "c_hash", "nonce", "auth_time"} {
		delete(claims, name)
	}
	return claims
}

// EndReason says why a session ended.
type EndReason string

// The reasons why a session ends, beside its age.
const (
	EndLogout              EndReason = "logout"                // the user signed out
	EndReplaced            EndReason = "replaced"              // another login took its place in the browser
	EndRefreshTokenRefused EndReason = "refresh token refused" // the provider answered invalid_grant
	EndRefused             EndReason = "refused"               // the provider, or a hook, said something that rules it out
)

// sessionEnded tells the application, after the write. A hook that panics does
// not take the refresh of everybody else with it.
func (m *Manager) sessionEnded(ctx context.Context, l *login, reason EndReason) {
	m.log.InfoContext(ctx, "tokenwell: session ended", "subject", l.Subject, "reason", string(reason))
	if m.cfg.OnSessionEnd == nil {
		return
	}
	_ = m.hook(ctx, "OnSessionEnd", func() error {
		m.cfg.OnSessionEnd(ctx, l.user(), reason)
		return nil
	})
}

// claimsChanged tells the application of new claims; its error ends the session.
func (m *Manager) claimsChanged(ctx context.Context, key string, l *login) error {
	if m.cfg.OnRefresh == nil {
		return nil
	}
	err := m.hook(ctx, "OnRefresh", func() error { return m.cfg.OnRefresh(ctx, l.user()) })
	if err == nil {
		return nil
	}
	ended, removeErr := m.remove(ctx, key)
	if removeErr != nil {
		m.log.ErrorContext(ctx, "tokenwell: a refused session could not be deleted", "error", removeErr)
	}
	if ended != nil {
		m.revoke(ctx, ended.RefreshToken)
		m.sessionEnded(ctx, ended, EndRefused)
	}
	return loginRequired(&Error{Op: opRefresh, Err: fmt.Errorf("OnRefresh: %w", err)})
}

func (m *Manager) hook(ctx context.Context, name string, call func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			m.log.ErrorContext(ctx, "tokenwell: a hook panicked", "hook", name)
			err = fmt.Errorf("%s panicked", name)
		}
	}()
	return call()
}
