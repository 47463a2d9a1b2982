package core

import (
	"net/url"
	"strings"
)

// maxLocalPath bounds what a stranger can have us keep for a login under way.
const maxLocalPath = 2048

// LocalPath returns target if it is a path on this site, with its query, and "/"
// for everything that a browser, a proxy or a second decoding could take for a
// way off it: schemes, "//", backslashes, dot segments that lead up, control
// characters.
func LocalPath(target string) string {
	if len(target) > maxLocalPath {
		return "/"
	}
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" {
		return "/"
	}
	raw, query, hasQuery := strings.Cut(target, "?")
	raw, _, _ = strings.Cut(raw, "#")
	query, _, _ = strings.Cut(query, "#")
	if !localAlways(raw) || !printable(raw) || !printable(query) || strings.Contains(query, `\`) {
		return "/"
	}
	if hasQuery {
		return raw + "?" + query
	}
	return raw
}

// localAlways looks at p as it is and as it is after each further decoding.
func localAlways(p string) bool {
	for range 5 {
		if !localOnce(p) {
			return false
		}
		decoded, err := url.PathUnescape(p)
		if err != nil {
			return false
		}
		if decoded == p {
			return true
		}
		p = decoded
	}
	return false // nobody encodes a path that often for a good reason
}

func localOnce(p string) bool {
	if !strings.HasPrefix(p, "/") || strings.Contains(p, "//") || strings.Contains(p, `\`) {
		return false
	}
	for _, segment := range strings.Split(p, "/") {
		if segment == ".." || segment == "." {
			return false
		}
	}
	for _, r := range p {
		if r < ' ' || r == 0x7f {
			return false
		}
	}
	return true
}
