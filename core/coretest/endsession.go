package coretest

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// endSession is the end session endpoint of OpenID Connect RP-Initiated Logout.
// Without an ID token that says who asks, it signs out this browser and sends it
// nowhere.
func (p *Provider) endSession(r *request) answer {
	cookie := p.cookie()
	cookie.MaxAge = -1
	var sid string
	to, err := p.logoutURL(r.Form, &sid)
	if err != nil {
		return answer{status: http.StatusBadRequest, body: err.Error() + "\n"}
	}
	p.mu.Lock()
	for id, l := range p.sessions {
		if sent, err := r.Cookie(cookie.Name); l.sid == sid || err == nil && sent.Value == id {
			delete(p.sessions, id)
		}
	}
	p.mu.Unlock()
	a := answer{status: http.StatusSeeOther, to: to}
	if to == nil {
		a = answer{status: http.StatusOK, body: "You are signed out.\n"}
	}
	return a.with("Set-Cookie", cookie.String()).with("Cache-Control", "no-store")
}

// logoutURL reads a logout request: where the browser goes afterwards, nil for
// nowhere, and whose session ends.
func (p *Provider) logoutURL(form url.Values, sid *string) (*url.URL, error) {
	if form.Get("id_token_hint") == "" {
		return nil, nil
	}
	claims, err := p.openHint(form.Get("id_token_hint"))
	if err != nil {
		return nil, errors.New("id_token_hint: " + err.Error())
	}
	if id := form.Get("client_id"); id != "" && claims["aud"] != id {
		return nil, errors.New("client_id is not that of the id_token_hint")
	}
	*sid, _ = claims["sid"].(string)
	target := form.Get("post_logout_redirect_uri")
	if target == "" {
		return nil, nil
	}
	to, err := url.Parse(target)
	if err != nil || !to.IsAbs() || strings.Contains(target, "#") {
		return nil, errors.New("post_logout_redirect_uri is not an absolute URL")
	}
	if form.Has("state") {
		query := to.Query()
		query.Set("state", form.Get("state"))
		to.RawQuery = query.Encode()
	}
	return to, nil
}
