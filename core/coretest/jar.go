package coretest

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
)

// jar is net/http's cookie jar with the rules that this one leaves to others: the
// prefixes of cookie names, and that Secure cookies are set over https only (RFC
// 6265bis, section 5.7).
type jar struct{ *cookiejar.Jar }

func newJar() *jar {
	j, _ := cookiejar.New(nil) // fails on no options
	return &jar{j}
}

func (j *jar) SetCookies(u *url.URL, cookies []*http.Cookie) {
	var kept []*http.Cookie
	for _, c := range cookies {
		if acceptable(u, c) {
			kept = append(kept, c)
		}
	}
	j.Jar.SetCookies(u, kept)
}

func acceptable(u *url.URL, c *http.Cookie) bool {
	name := strings.ToLower(c.Name)
	switch {
	case c.Secure && u.Scheme != "https":
		return false
	case c.SameSite == http.SameSiteNoneMode && !c.Secure:
		return false
	case strings.HasPrefix(name, "__secure-"):
		return c.Secure
	case strings.HasPrefix(name, "__host-"):
		return c.Secure && c.Domain == "" && c.Path == "/"
	}
	return true
}
