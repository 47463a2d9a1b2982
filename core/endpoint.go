package core

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// answer is a successful answer of the token endpoint (RFC 6749 section 5.1).
type answer struct {
	accessToken  string
	tokenType    string
	refreshToken string
	idToken      string
	scopes       []string // nil: as asked for
	obtained     time.Time
	expiry       time.Time     // zero: not said
	refreshIn    time.Duration // 0: not said
}

var (
	// errUnanswered marks a request that may have been carried out though no usable
	// answer to it came back.
	errUnanswered = errors.New("sent, but not answered")
	errNotJSON    = errors.New("the answer is not a JSON object")
)

// requestToken posts form to the token endpoint of the client.
func (m *Manager) requestToken(ctx context.Context, c *oauthClient, op string, form url.Values) (*answer, error) {
	endpoint, err := m.tokenEndpoint(ctx, c)
	if err != nil {
		return nil, c.named(err)
	}
	obtained := m.now() // an expiry counts from before the request
	status, body, err := m.post(ctx, c, op, endpoint, form)
	if err != nil {
		return nil, c.named(err)
	}
	a, err := parseAnswer(body, obtained)
	if err != nil {
		if op == opRefresh { // a success that says nothing may have consumed the refresh token
			err = fmt.Errorf("%w: %w", errUnanswered, err)
		}
		return nil, &Error{Op: op, Registration: c.name, Status: status, Err: err}
	}
	return a, nil
}

// post sends form with the client's authentication, and returns the body of a
// successful answer. Everything else is an *Error.
func (m *Manager) post(ctx context.Context, c *oauthClient, op, endpoint string, form url.Values) (int, []byte, error) {
	header := http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"},
		"Accept":       {"application/json"},
	}
	form = cloneParams(form) // it may be sent again, in another client's name
	c.auth.authenticate(c.id, form, header)
	ctx, sent := traceSending(ctx)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil, &Error{Op: op, Err: errors.New("the endpoint's URL is not one")}
	}
	r.Header = header
	resp, err := m.http.to(op).Do(r)
	if err != nil {
		return 0, nil, &Error{Op: op, transient: true, Err: transportError(err, sent())}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, &Error{Op: op, Status: resp.StatusCode, transient: true, Err: transportError(err, true)}
	}
	if e := oauthError(op, resp, body, secretsOf(form, header), m.now()); e != nil {
		return 0, nil, e
	}
	return resp.StatusCode, body, nil
}

// oauthError returns the error that an answer stands for: an OAuth error in
// whatever status it comes, or any status but success. Only the former says
// something about the grant; a proxy's page is as transient as an outage.
func oauthError(op string, resp *http.Response, body []byte, secrets []string, now time.Time) *Error {
	var said struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	_ = json.Unmarshal(body, &said)
	success := resp.StatusCode >= 200 && resp.StatusCode < 300
	if success && said.Code == "" {
		return nil
	}
	e := &Error{
		Op:          op,
		Status:      resp.StatusCode,
		Code:        clean(said.Code, 64, slices.DeleteFunc(slices.Clone(secrets), func(s string) bool { return len(s) < shortest })),
		Description: clean(said.Description, 200, secrets),
		RetryAfter:  retryAfter(resp.Header.Get("Retry-After"), now),
	}
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		e.Err = errors.New("it redirects, which is not followed")
	case e.Code == "" && (resp.StatusCode == http.StatusBadGateway || resp.StatusCode == http.StatusGatewayTimeout):
		e.transient, e.Err = true, errUnanswered
	case e.Code == "" && resp.StatusCode >= 400:
		e.transient, e.Err = true, errors.New("no OAuth error came with it")
	}
	return e
}

// What a form holds may be a secret: an assertion, a password, another party's
// token. Only these say no more than what is asked for.
var (
	harmless = []string{
		"actor_token_type", "audience", "client_assertion_type", "client_id", "grant_type", "redirect_uri",
		"requested_token_type", "resource", "scope", "subject_token_type", "token_type_hint",
	}
	alwaysSecret = []string{"client_secret", "code", "code_verifier", "password", "refresh_token", "token"}
)

// shortest is the length from which on a parameter that is not known to us is taken
// for a secret, and a secret is looked for in an error code, on which programs act;
// taking out anything shorter would leave no text.
const shortest = 8

// secretsOf lists what of a request must not be repeated, the longest first, so
// that none is broken by one that it contains.
func secretsOf(form url.Values, header http.Header) []string {
	var secrets []string
	for name, values := range form {
		if slices.Contains(harmless, name) {
			continue
		}
		for _, value := range values {
			if len(value) >= shortest || slices.Contains(alwaysSecret, name) {
				secrets = append(secrets, value, url.QueryEscape(value))
			}
		}
	}
	if _, encoded, ok := (&http.Request{Header: header}).BasicAuth(); ok {
		secret, _ := url.QueryUnescape(encoded)
		secrets = append(secrets, strings.TrimPrefix(header.Get("Authorization"), "Basic "), encoded, secret)
	}
	secrets = slices.DeleteFunc(secrets, func(s string) bool { return s == "" })
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	return secrets
}

// clean shortens text of the provider to visible ASCII and takes out whatever
// secret of ours it may repeat.
func clean(text string, limit int, secrets []string) string {
	for _, secret := range secrets {
		text = strings.ReplaceAll(text, secret, redacted)
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, text)
	return text[:min(len(text), limit)]
}

// retryAfter reads the seconds or the date of a Retry-After header (RFC 9110
// section 10.2.3), an hour at most.
func retryAfter(value string, now time.Time) time.Duration {
	const most = time.Hour
	seconds, err := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, uint64(most/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(0, at.Sub(now)), most)
	}
	return 0
}

// parseAnswer reads a token answer. Numbers may come as strings.
func parseAnswer(body []byte, obtained time.Time) (*answer, error) {
	var said struct {
		AccessToken  string          `json:"access_token"`
		TokenType    string          `json:"token_type"`
		RefreshToken string          `json:"refresh_token"`
		IDToken      string          `json:"id_token"`
		Scope        json.RawMessage `json:"scope"`
		ExpiresIn    json.RawMessage `json:"expires_in"`
		RefreshIn    json.RawMessage `json:"refresh_in"`
	}
	if err := json.Unmarshal(body, &said); err != nil {
		return nil, errNotJSON // json's own text could repeat the answer
	}
	switch {
	case said.AccessToken == "":
		return nil, errors.New("the answer has no access token")
	case !printable(said.AccessToken):
		return nil, errors.New("the access token has characters that no header can carry")
	}
	scheme, err := tokenType(said.TokenType)
	if err != nil {
		return nil, err
	}
	a := &answer{
		accessToken:  said.AccessToken,
		tokenType:    scheme,
		refreshToken: said.RefreshToken,
		idToken:      said.IDToken,
		obtained:     obtained,
	}
	var scope string
	if len(said.Scope) > 0 && string(said.Scope) != "null" {
		if json.Unmarshal(said.Scope, &scope) == nil {
			a.scopes = strings.Fields(scope)
		} else {
			_ = json.Unmarshal(said.Scope, &a.scopes) // a list, as some send; anything else says nothing
		}
	}
	if life, said := seconds(said.ExpiresIn); said {
		a.expiry = obtained.Add(life)
	}
	a.refreshIn, _ = seconds(said.RefreshIn)
	return a, nil
}

// seconds reads a number of seconds, or one in a string. What is there but is not
// such a number counts as 0: a token whose life cannot be read is taken as used up.
func seconds(raw json.RawMessage) (d time.Duration, said bool) {
	text := strings.Trim(string(raw), `"`)
	if text == "" && len(raw) == 0 || text == "null" {
		return 0, false
	}
	const most = 100 * 365 * 24 * time.Hour
	f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || math.IsNaN(f) || f <= 0 {
		return 0, true
	}
	return time.Duration(min(f, most.Seconds())) * time.Second, true
}

// stored returns the token of a as it is kept; scopes are those asked for.
func (m *Manager) stored(a *answer, scopes []string) storedToken {
	if a.scopes != nil {
		scopes = a.scopes
	}
	t := storedToken{AccessToken: a.accessToken, Type: a.tokenType, Scopes: slices.Clone(scopes), Obtained: a.obtained.UnixMilli()}
	if a.expiry.IsZero() {
		return t
	}
	life := a.expiry.Sub(a.obtained)
	renewIn := m.renewIn(life)
	if a.refreshIn > 0 && a.refreshIn < life {
		renewIn = a.refreshIn
	}
	t.Expiry = a.expiry.UnixMilli()
	t.RenewAt = a.obtained.Add(renewIn).UnixMilli()
	return t
}

// traceSending tells whether a request may have left. It is believed to have not
// only where the transport reports on its connections and never got one.
func traceSending(ctx context.Context) (_ context.Context, sent func() bool) {
	var asked, got atomic.Bool
	trace := &httptrace.ClientTrace{
		GetConn: func(string) { asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { got.Store(true) },
	}
	return httptrace.WithClientTrace(ctx, trace), func() bool { return got.Load() || !asked.Load() }
}

// transportError describes why an exchange failed, in words that hold nothing of
// what was exchanged.
func transportError(err error, sent bool) error {
	var (
		ue *url.Error
		oe *net.OpError
		de *net.DNSError
	)
	switch {
	case errors.Is(err, errTooLarge):
		err = errTooLarge
	case errors.Is(err, context.Canceled):
		err = context.Canceled
	case errors.As(err, &ue) && ue.Timeout(), errors.Is(err, context.DeadlineExceeded):
		err = context.DeadlineExceeded
	case ue != nil && (errors.As(err, &oe) && oe.Op == "dial" || errors.As(err, &de) || !sent):
		return ue.Err // certainly not sent; TLS and the like name the peer's fault
	default:
		err = errors.New("the connection failed")
	}
	if sent {
		return fmt.Errorf("%w: %w", errUnanswered, err)
	}
	return err
}
