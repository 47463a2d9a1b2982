package core

import (
	"fmt"
	"net/http"
	"net/url"
)

// ClientAuth is how an OAuth client authenticates itself: [SecretBasic],
// [SecretPost] or [Public]. The style is chosen once and never probed.
type ClientAuth interface {
	// authenticate adds to a form that is about to be posted, or to its header.
	authenticate(clientID string, form url.Values, header http.Header)
	// identity tells it from every other way of authenticating; it may hold the
	// secret, and goes into digests alone.
	identity() string
}

// SecretBasic authenticates by HTTP Basic, with identifier and secret encoded as
// RFC 6749 section 2.3.1 wants it.
func SecretBasic(secret string) ClientAuth { return secretBasic{secret} }

// SecretPost authenticates by identifier and secret in the form (RFC 6749 section
// 2.3.1), for providers that cannot do [SecretBasic].
func SecretPost(secret string) ClientAuth { return secretPost{secret} }

// Public is a client without a secret, which only says its name (RFC 6749 section
// 3.2.1).
func Public() ClientAuth { return public{} }

type secretBasic struct{ secret string }

func (a secretBasic) authenticate(clientID string, _ url.Values, header http.Header) {
	r := http.Request{Header: header}
	r.SetBasicAuth(url.QueryEscape(clientID), url.QueryEscape(a.secret))
}

func (a secretBasic) identity() string { return "basic " + a.secret }

// Format implements fmt.Formatter without the secret.
func (a secretBasic) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprint(f, "core.SecretBasic("+redacted+")")
}

type secretPost struct{ secret string }

func (a secretPost) authenticate(clientID string, form url.Values, _ http.Header) {
	form.Set("client_id", clientID)
	form.Set("client_secret", a.secret)
}

func (a secretPost) identity() string { return "post " + a.secret }

// Format implements fmt.Formatter without the secret.
func (a secretPost) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprint(f, "core.SecretPost("+redacted+")")
}

type public struct{}

func (public) authenticate(clientID string, form url.Values, _ http.Header) {
	form.Set("client_id", clientID)
}

func (public) identity() string { return "public" }
