package coretest

import (
	"crypto/rand"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const codeLife = time.Minute

// login is a user signed in at the provider, in one browser.
type login struct {
	user string
	sid  string
	acr  string
	at   time.Time
}

// authorize is the authorization endpoint: GET signs in a user whom it knows or
// shows the form, which posts to the same URL.
func (p *Provider) authorize(r *request) answer {
	query := r.URL.Query()
	if _, known := p.options.secret(query.Get("client_id")); !known {
		return oauthError(http.StatusBadRequest, "invalid_request", "unknown client_id")
	}
	// RFC 6749, section 4.1.2.1: nobody is sent to a redirect URL that is not the
	// client's.
	if !p.options.registered(query.Get("redirect_uri")) {
		return oauthError(http.StatusBadRequest, "invalid_request", "redirect_uri is not registered")
	}
	if code, description := refuseAuthorization(query); code != "" {
		return p.respond(query, url.Values{"error": {code}, "error_description": {description}})
	}
	if r.Method == http.MethodPost {
		if r.PostForm.Has("cancel") {
			return p.respond(query, url.Values{"error": {"access_denied"}})
		}
		if user := r.PostForm.Get("user"); user != "" {
			l, cookie := p.signIn(user, query)
			return p.respond(query, url.Values{"code": {p.issueCode(l, query)}}).with("Set-Cookie", cookie.String())
		}
		return loginForm(http.StatusUnprocessableEntity, query)
	}
	if l := p.signedIn(r.Request); l != nil && p.suffices(*l, query) {
		return p.respond(query, url.Values{"code": {p.issueCode(*l, query)}})
	}
	if query.Get("prompt") == "none" {
		return p.respond(query, url.Values{"error": {"login_required"}})
	}
	return loginForm(http.StatusOK, query)
}

// refuseAuthorization returns an error code and its description for a request that
// is no good.
func refuseAuthorization(query url.Values) (code, description string) {
	challenge, err := base64.RawURLEncoding.DecodeString(query.Get("code_challenge"))
	prompts := strings.Fields(query.Get("prompt"))
	switch {
	case repeated(query):
		return "invalid_request", "a parameter is given twice"
	case query.Get("response_type") != "code":
		return "unsupported_response_type", "response_type is not code"
	case query.Has("response_mode") && query.Get("response_mode") != "query":
		return "invalid_request", "response_mode is not query"
	case query.Has("request"):
		return "request_not_supported", ""
	case query.Has("request_uri"):
		return "request_uri_not_supported", ""
	case query.Get("code_challenge_method") != "S256":
		return "invalid_request", "code_challenge_method is not S256"
	case err != nil || len(challenge) != 32:
		return "invalid_request", "code_challenge is not a SHA-256 digest"
	case slices.Contains(prompts, "none") && len(prompts) > 1:
		return "invalid_request", "prompt none excludes others"
	case !validResources(query["resource"]):
		return "invalid_target", "resource is not an absolute URI"
	}
	if _, err := maxAge(query); err != nil {
		return "invalid_request", "max_age is not a number of seconds"
	}
	return "", ""
}

// repeated tells whether a parameter is given more than once, which only resource
// and audience may be (RFC 6749, section 3.1; RFC 8707, section 2; RFC 8693, section
// 2.1).
func repeated(parameters url.Values) bool {
	for name, values := range parameters {
		if len(values) > 1 && name != "resource" && name != "audience" {
			return true
		}
	}
	return false
}

// maxAge is the max_age that is asked for, negative for none.
func maxAge(query url.Values) (time.Duration, error) {
	if !query.Has("max_age") {
		return -1, nil
	}
	seconds, err := strconv.ParseUint(query.Get("max_age"), 10, 31)
	return time.Duration(seconds) * time.Second, err
}

func validResources(resources []string) bool {
	return !slices.ContainsFunc(resources, func(resource string) bool {
		u, err := url.Parse(resource)
		return err != nil || !u.IsAbs() || strings.Contains(resource, "#")
	})
}

// respond sends the browser back to the application with an authorization response
// that names us (RFC 9207).
func (p *Provider) respond(query, response url.Values) answer {
	to, err := url.Parse(query.Get("redirect_uri"))
	if err != nil {
		return oauthError(http.StatusBadRequest, "invalid_request", "redirect_uri is not a URL")
	}
	parameters := to.Query()
	for name := range response {
		if value := response.Get(name); value != "" {
			parameters.Set(name, value)
		}
	}
	if query.Has("state") {
		parameters.Set("state", query.Get("state"))
	}
	parameters.Set("iss", p.Issuer())
	to.RawQuery = parameters.Encode()
	return answer{status: http.StatusSeeOther, to: to}.with("Cache-Control", "no-store")
}

// suffices tells whether a login of earlier will do for a request.
func (p *Provider) suffices(l login, query url.Values) bool {
	prompts := strings.Fields(query.Get("prompt"))
	if slices.Contains(prompts, "login") || slices.Contains(prompts, "select_account") {
		return false
	}
	if age, _ := maxAge(query); age >= 0 && p.Now().Sub(l.at) > age {
		return false
	}
	acrs := strings.Fields(query.Get("acr_values"))
	return len(acrs) == 0 || slices.Contains(acrs, l.acr)
}

// signIn makes a session of the provider's own. Whoever signs in reaches the first
// of the acr_values asked for.
func (p *Provider) signIn(user string, query url.Values) (login, *http.Cookie) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := login{user: user, sid: "sid_" + rand.Text(), at: p.now}
	if acrs := strings.Fields(query.Get("acr_values")); len(acrs) > 0 {
		l.acr = acrs[0]
	}
	id := rand.Text()
	p.sessions[id] = &l
	cookie := p.cookie()
	cookie.Value = id
	return l, cookie
}

// cookie bears the port in its name: browsers do not keep the cookies of two ports
// apart.
func (p *Provider) cookie() *http.Cookie {
	port := p.Issuer()[strings.LastIndexByte(p.Issuer(), ':')+1:]
	return &http.Cookie{Name: "op_session_" + port, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// signedIn returns the browser's session at the provider, nil if there is none.
func (p *Provider) signedIn(r *http.Request) *login {
	cookie, err := r.Cookie(p.cookie().Name)
	if err != nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sessions[cookie.Value]
}

func (p *Provider) issueCode(l login, query url.Values) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	value := "code_" + rand.Text()
	p.codes[value] = &code{
		grant: &grant{
			client:    query.Get("client_id"),
			user:      l.user,
			scopes:    strings.Fields(query.Get("scope")),
			resources: query["resource"],
			sid:       l.sid,
			authTime:  l.at,
			acr:       l.acr,
		},
		redirectURL: query.Get("redirect_uri"),
		challenge:   query.Get("code_challenge"),
		nonce:       query.Get("nonce"),
		expiry:      p.now.Add(codeLife),
	}
	return value
}

// The form posts to the URL of its page, so nothing of the request has to be
// carried along in it.
var formTemplate = template.Must(template.New("login").Parse(`<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Sign in</title>
<h1>Sign in</h1>
<form method="post">
<label>User name <input name="user" value="{{.}}" autocomplete="username" autofocus></label>
<button>Sign in</button>
<button name="cancel" value="yes">Cancel</button>
</form>
</html>
`))

func loginForm(status int, query url.Values) answer {
	var page strings.Builder
	if err := formTemplate.Execute(&page, query.Get("login_hint")); err != nil {
		return oauthError(http.StatusInternalServerError, "server_error", err.Error())
	}
	return answer{status: status, body: page.String()}.
		with("Content-Type", "text/html; charset=utf-8").
		with("Cache-Control", "no-store")
}
