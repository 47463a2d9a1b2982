package core

import (
	"net/url"
	"path"
	"strings"
	"testing"
)

// Whatever the caller's URL, what comes of it has the base's origin and a path that
// stays below the base, however the server decodes and cleans it.
func FuzzBaseURL(f *testing.F) {
	for _, base := range []string{
		"https://api.test", "https://api.test/", "https://API.test:443/v1", "https://api.test/v1/", "http://[::1]:8080/a%2Fb",
	} {
		for _, target := range []string{
			"", "list", "/list", "list?a=b#c", "a%2Fb", "a%20b", "a/../b", "..", "../x", "/../x", "%2e%2e/x", "..%2fx", "%252e%252e/x",
			`..\x`, `\..\x`, "%5c..%5cx", "..;/x", "//evil.test/", "///evil.test", "@evil.test", "https://api.test/v1/list", "https://api.test/v1",
			"https://api.test/v1x", "https://api.test/v2", "https://api.test:443/v1/a", "https://API.TEST/v1/a", "https://api.test:8443/v1/a",
			"http://api.test/v1/a", "https://api.test@evil.test/v1", "https://u:p@api.test/v1/", "https:list", "https:///v1", "mailto:a@b",
			"http://[::1]:8080/a%2Fb/c", "http://[::1]:8080/a/b/c", "/%2e%2e%2f%2e%2e%2f", "%25252e%25252e/x", "a//../../x", "?x", "#x",
			"http://[::1]:8080/a%2fb/c", "https://api.test/%761/c", "https://api.test%2Fv1/c", "https://api.test/v1%2Fc",
		} {
			f.Add(base, target, "")
		}
		f.Add(base, "list", "evil.test")
	}
	f.Fuzz(func(t *testing.T, base, target, host string) {
		if (HTTPClient{BaseURL: base, Token: UserToken(), AllowHTTP: true}).check("x") != nil {
			return
		}
		b, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(target)
		if err != nil {
			return
		}
		before := *u
		base1 := newBaseURL(b)
		got, err := base1.resolve(u, host)
		if *u != before {
			t.Fatalf("%s was changed to %s", &before, u)
		}
		if err != nil {
			return
		}
		// As it goes over the wire, and as the other side reads it.
		sent, err := url.Parse(got.String())
		if err != nil {
			t.Fatalf("%q below %q: %q is no URL: %v", target, base, got, err)
		}
		if host != "" && host != got.Host {
			t.Errorf("%q goes out with the Host %q", got, host)
		}
		if originOf(sent) != originOf(b) || sent.User != nil || got.Opaque != "" {
			t.Errorf("%q below %q is %q", target, base, got)
		}
		// Segment by segment: an encoded slash is none.
		theirs := strings.Split(sent.EscapedPath(), "/")
		for i, want := range strings.Split(strings.TrimSuffix(b.EscapedPath(), "/"), "/") {
			want, _ = url.PathUnescape(want)
			if i >= len(theirs) {
				t.Fatalf("%q below %q is %q", target, base, got)
			}
			if segment, _ := url.PathUnescape(theirs[i]); segment != want {
				t.Fatalf("%q below %q is %q", target, base, got)
			}
		}
		dir := strings.TrimSuffix(b.Path, "/") + "/"
		p := sent.Path
		for range 8 {
			clean := path.Clean("/" + segments(p))
			if clean+"/" != path.Clean(segments(dir))+"/" && !strings.HasPrefix(clean+"/", strings.TrimSuffix(path.Clean(segments(dir)), "/")+"/") {
				t.Fatalf("%q below %q is %q, which is %q", target, base, got, clean)
			}
			next, err := url.PathUnescape(p)
			if err != nil || next == p {
				return
			}
			p = next
		}
	})
}

// segments is a path as the most liberal of servers reads it: backslashes for slashes,
// and without the parameters that some allow in a segment.
func segments(p string) string {
	parts := strings.Split(strings.ReplaceAll(p, `\`, "/"), "/")
	for i, part := range parts {
		parts[i], _, _ = strings.Cut(part, ";")
	}
	return strings.Join(parts, "/")
}
