package core

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// Token is an access token and what is known of it. Those that a Manager returns
// are shared between callers: read them, do not change them.
//
// A Token does not print its secret: fmt, slog and JSON show its type, scopes and
// expiry only.
type Token struct {
	AccessToken string
	Type        string    // the scheme of the Authorization header: "Bearer"; "" means Bearer
	Scopes      []string  // what was granted; nil when the provider did not say
	Expiry      time.Time // zero: the provider did not say when it expires

	// The finished header, made once for each token, and what it was made of: a copy
	// that was changed does without.
	authorization   []string
	madeFor, madeAs string
}

// newToken returns a Token whose Authorization header is ready-made.
func newToken(accessToken, tokenType string, scopes []string, expiry time.Time) *Token {
	t := &Token{AccessToken: accessToken, Type: tokenType, Scopes: scopes, Expiry: expiry}
	t.authorization, t.madeFor, t.madeAs = []string{tokenType + " " + accessToken}, accessToken, tokenType
	return t
}

// Authorize sets the Authorization header of r, replacing one that is there. It
// fails, and leaves r alone, when t is nil or holds nothing that could be sent.
func (t *Token) Authorize(r *http.Request) error {
	header, err := t.header()
	if err != nil {
		return err
	}
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	r.Header["Authorization"] = []string{header[0]}
	return nil
}

// header returns the values of the Authorization header; they must not be
// modified.
func (t *Token) header() ([]string, error) {
	if t == nil || t.AccessToken == "" {
		return nil, errors.New("tokenwell: no access token")
	}
	if t.authorization != nil && t.AccessToken == t.madeFor && t.Type == t.madeAs {
		return t.authorization, nil
	}
	scheme, err := tokenType(t.Type)
	if err != nil {
		return nil, fmt.Errorf("tokenwell: %w", err)
	}
	if !printable(t.AccessToken) {
		return nil, errors.New("tokenwell: the access token has characters that no header can carry")
	}
	return []string{scheme + " " + t.AccessToken}, nil
}

// OAuth2 returns t for libraries that want an [oauth2.Token]; nil for a nil t. It
// carries no refresh token: renewing is the Manager's business.
func (t *Token) OAuth2() *oauth2.Token {
	if t == nil {
		return nil
	}
	return &oauth2.Token{AccessToken: t.AccessToken, TokenType: t.Type, Expiry: t.Expiry}
}

// tokenType returns the Authorization scheme for a token type, which is compared
// without regard to case (RFC 6749 section 5.1). A type that we do not know how
// to send is an error (section 7.1).
func tokenType(t string) (string, error) {
	switch {
	case t == "", strings.EqualFold(t, "Bearer"):
		return "Bearer", nil
	case strings.EqualFold(t, "DPoP"):
		return "DPoP", nil
	}
	return "", errors.New("the token is of a type that this client cannot use")
}

// printable reports whether s is made of visible ASCII alone, as a credential in
// a header must be.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// visible is what a Token shows of itself.
type visible struct {
	Type   string    `json:"type,omitempty"`
	Scopes []string  `json:"scopes,omitempty"`
	Expiry time.Time `json:"expiry,omitzero"`
}

func (t Token) visible() visible { return visible{t.Type, t.Scopes, t.Expiry} }

// Format implements fmt.Formatter without the secret, whatever the verb.
func (t Token) Format(f fmt.State, _ rune) {
	v := t.visible()
	fmt.Fprintf(f, "core.Token{Type:%s Scopes:%v Expiry:%s}", v.Type, v.Scopes, v.Expiry.Format(time.RFC3339))
}

// LogValue implements slog.LogValuer without the secret.
func (t Token) LogValue() slog.Value {
	v := t.visible()
	return slog.GroupValue(slog.String("type", v.Type), slog.Any("scopes", v.Scopes), slog.Time("expiry", v.Expiry))
}

// MarshalJSON implements json.Marshaler without the secret: a Token is not meant
// to be stored.
func (t Token) MarshalJSON() ([]byte, error) { return json.Marshal(t.visible()) }
