package coretest

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// authenticate finds the client of a request to the token or revocation endpoint
// and checks its secret (RFC 6749, section 2.3.1). With ok false the request is to
// be answered with refusal.
func (p *Provider) authenticate(r *request) (client string, refusal answer, ok bool) {
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case r.Method != http.MethodPost:
		return "", oauthError(http.StatusMethodNotAllowed, "invalid_request", "not a POST"), false
	case mediaType != "application/x-www-form-urlencoded":
		return "", oauthError(http.StatusBadRequest, "invalid_request", "not a form"), false
	case r.URL.RawQuery != "":
		return "", oauthError(http.StatusBadRequest, "invalid_request", "parameters in the URL"), false
	case repeated(r.PostForm):
		return "", oauthError(http.StatusBadRequest, "invalid_request", "a parameter is given twice"), false
	}
	unauthorized := oauthError(http.StatusUnauthorized, "invalid_client", "client authentication failed").
		with("WWW-Authenticate", `Basic realm="coretest"`)
	client, given := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	basic := r.Header.Get("Authorization") != ""
	if basic {
		if r.PostForm.Has("client_secret") {
			return "", oauthError(http.StatusBadRequest, "invalid_request", "two ways of client authentication"), false
		}
		id, secret, err := basicCredentials(r.Request)
		if err != nil || client != "" && client != id {
			return "", unauthorized, false
		}
		client, given = id, secret
	}
	want, known := p.options.secret(client)
	if !known || basic && want == "" || subtle.ConstantTimeCompare([]byte(given), []byte(want)) != 1 {
		return "", unauthorized, false
	}
	return client, answer{}, true
}

// basicCredentials reads a Basic header as RFC 6749, section 2.3.1 has it: both
// halves are form-urlencoded.
func basicCredentials(r *http.Request) (id, secret string, err error) {
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", "", errors.New("not Basic")
	}
	text, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return "", "", err
	}
	id, secret, found := strings.Cut(string(text), ":")
	if !found {
		return "", "", errors.New("no colon")
	}
	if id, err = url.QueryUnescape(id); err != nil {
		return "", "", err
	}
	secret, err = url.QueryUnescape(secret)
	return id, secret, err
}
