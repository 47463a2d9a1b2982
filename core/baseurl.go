package core

import (
	"errors"
	"net/url"
	"strings"
)

// baseURL is the directory that a named client stays in.
type baseURL struct {
	scheme  string
	host    string // as configured, for requests
	origin  string // lower case, with its port
	path    string // decoded, with a trailing slash
	raw     string // the same, encoded
	encoded bool   // raw differs from path
}

func newBaseURL(u *url.URL) baseURL {
	return baseURL{
		scheme:  u.Scheme,
		host:    u.Host,
		origin:  originOf(u),
		path:    strings.TrimSuffix(u.Path, "/") + "/",
		raw:     strings.TrimSuffix(u.EscapedPath(), "/") + "/",
		encoded: u.EscapedPath() != u.Path,
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
	case !b.contains(u.Path), !b.encodedBelow(u):
		return nil, errElsewhere
	}
	return u, nil
}

// encodedBelow reports whether u is below the base for a server that tells "%2F" from "/".
func (b *baseURL) encodedBelow(u *url.URL) bool {
	if u.RawPath == "" && !b.encoded {
		return true
	}
	return strings.HasPrefix(upperEscapes(u.EscapedPath())+"/", upperEscapes(b.raw))
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
		if climbs(rest) {
			return false
		}
		decoded := decodeAny(rest)
		if decoded == rest {
			return true
		}
		rest = decoded
	}
	return false
}

// climbs reports whether a relative path leaves the directory that it starts in, for
// some server: one that takes backslashes for slashes, cuts parameters off ("..;a"), or
// drops control characters and blanks.
func climbs(rel string) bool {
	depth := 0
	for _, segment := range strings.FieldsFunc(rel, func(r rune) bool { return r == '/' || r == '\\' }) {
		segment, _, _ = strings.Cut(segment, ";")
		switch strings.TrimFunc(segment, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		case ".", "":
		case "..":
			if depth--; depth < 0 {
				return true
			}
		default:
			depth++
		}
	}
	return false
}

// decodeAny decodes what is encoded and leaves what only looks so.
func decodeAny(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+3 <= len(s) {
			if c, err := url.PathUnescape(s[i : i+3]); err == nil {
				b.WriteString(c)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// upperEscapes writes percent-encodings in one way (RFC 3986 section 6.2.2.1).
func upperEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], strings.ToUpper(s[i+1:i+3]))
		}
	}
	return string(b)
}

// originOf returns scheme, host and port in one form.
func originOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[lowerASCII(u.Scheme)]
	}
	return lowerASCII(u.Scheme) + "://" + lowerASCII(u.Hostname()) + ":" + port
}

// lowerASCII leaves all other letters alone: U+0130 is an "i" to strings.ToLower, but
// another host to IDNA.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
