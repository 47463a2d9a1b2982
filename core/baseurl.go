package core

import (
	"errors"
	"net/url"
	"path"
	"strings"
)

// baseURL is the directory that a named client stays in.
type baseURL struct {
	scheme string
	host   string // as configured, for requests
	origin string // lower case, with its port
	path   string // decoded, with a trailing slash
	raw    string // the same, encoded
}

func newBaseURL(u *url.URL) baseURL {
	return baseURL{
		scheme: u.Scheme,
		host:   u.Host,
		origin: originOf(u),
		path:   strings.TrimSuffix(u.Path, "/") + "/",
		raw:    strings.TrimSuffix(u.EscapedPath(), "/") + "/",
	}
}

var (
	errElsewhere = errors.New("the URL is not below the client's BaseURL; its token goes nowhere else")
	errUserInfo  = errors.New("the URL has user information; the client sets its own Authorization")
	errHost      = errors.New("the Host header is not that of the client's BaseURL")
)

// resolve returns the absolute URL that u stands for, which is u itself if it is
// one, or an error if that is not below the base.
func (b *baseURL) resolve(u *url.URL, host string) (*url.URL, error) {
	if u.User != nil {
		return nil, errUserInfo
	}
	if u.Scheme == "" && u.Host == "" && u.Opaque == "" {
		if host != "" {
			return nil, errHost
		}
		return b.join(u)
	}
	switch {
	case u.Opaque != "" || !b.sameOrigin(u):
		return nil, errElsewhere
	case host != "" && host != u.Host:
		return nil, errHost
	case !b.contains(u.Path):
		return nil, errElsewhere
	}
	return u, nil
}

// join puts a relative URL below the base, whether it starts with a slash or not.
func (b *baseURL) join(u *url.URL) (*url.URL, error) {
	rel, raw := strings.TrimPrefix(u.Path, "/"), strings.TrimPrefix(u.EscapedPath(), "/")
	joined := &url.URL{
		Scheme: b.scheme, Host: b.host, Path: b.path + rel, RawPath: b.raw + raw,
		RawQuery: u.RawQuery, ForceQuery: u.ForceQuery,
	}
	if !b.contains(joined.Path) {
		return nil, errElsewhere
	}
	return joined, nil
}

func (b *baseURL) sameOrigin(u *url.URL) bool {
	if u.Scheme == b.scheme && u.Host == b.host {
		return true
	}
	return originOf(u) == b.origin
}

// contains reports whether p stays below the base, however often and by whatever
// rules the server decodes it.
func (b *baseURL) contains(p string) bool {
	if p+"/" == b.path {
		return true // the directory itself, without its slash
	}
	if !strings.HasPrefix(p, b.path) {
		return false
	}
	rest := p[len(b.path):]
	if !strings.ContainsAny(rest, `.%\`) {
		return true
	}
	for range 5 {
		rest = strings.ReplaceAll(rest, `\`, "/")
		if climbs(rest) {
			return false
		}
		decoded, err := url.PathUnescape(rest)
		if err != nil || decoded == rest {
			return true
		}
		rest = decoded
	}
	return false
}

// climbs reports whether a relative path leaves the directory that it starts in.
func climbs(rel string) bool {
	clean := path.Clean(strings.TrimLeft(rel, "/"))
	if clean == ".." || strings.HasPrefix(clean, "../") {
		return true
	}
	return false
}

// originOf returns scheme, host and port in one form.
func originOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
	}
	return strings.ToLower(u.Scheme) + "://" + strings.ToLower(u.Hostname()) + ":" + port
}
