package core_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/tokenwell/tokenwell/core"
)

func TestLocalPathKeepsLocalPaths(t *testing.T) {
	t.Parallel()
	for _, target := range []string{
		"/", "/a", "/a/", "/a/b", "/a?b=c", "/a?b=c&d=e%20f", "/?q=1", "/a?", "/a%20b", "/a.b/c..d/...", "/.well-known/x", "/@alice",
		"/a:b", "/" + strings.Repeat("x", 2000), "/a;b=c", "/a?next=//evil.test", "/a?next=https://evil.test/%5c", "/caf%C3%A9", "/a?q=%0d%0a", "/~a/-_.!$&'()*+,;=",
	} {
		if got := core.LocalPath(target); got != target {
			t.Errorf("LocalPath(%q) = %q", target, got)
		}
	}
	for target, want := range map[string]string{"/a#b": "/a", "/a?b#c": "/a?b", "/a?b#//evil.test": "/a?b"} {
		if got := core.LocalPath(target); got != want {
			t.Errorf("LocalPath(%q) = %q, want %q", target, got, want)
		}
	}
}

// waysOff are targets that a browser, a proxy or a second decoding could take for
// another site.
var waysOff = []string{
	"", "a", "a/b", "./a", "../a", "?x", "#x", "evil.test", "@evil.test", "evil.test/a", ".evil.test", ":80",
	"https://evil.test", "https:/evil.test", "https:evil.test", "HTTPS://evil.test", "http://app.test@evil.test", "ftp://evil.test",
	"javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "mailto:a@b", "blob:x", "x:/a",
	"//evil.test", "///evil.test", "////evil.test", "//evil.test/..", "//user@evil.test", "//[::1]", "//0x7f.1", "//evil.test:80/a",
	`/\evil.test`, `\/evil.test`, `\\evil.test`, `\evil.test`, `/\/evil.test`, `//\evil.test`, `/a\b`, `/a/..\..\evil.test`, `/a?b\c`,
	"/%5cevil.test", "/%5Cevil.test", "/%2fevil.test", "/%2Fevil.test", "/%2f%2fevil.test", "%2f%2fevil.test", "%5c%5cevil.test",
	"/%252fevil.test", "/%25252fevil.test", "/%2525252fevil.test", "/%255cevil.test", "/%25255cevil.test", "/%25252525252525252fevil.test",
	"/%09/evil.test", "/%0a/evil.test", "/%0d/evil.test", "/%00/evil.test", "/%2509/evil.test", "/%7f/evil.test",
	"/\t/evil.test", "/\n/evil.test", "/\r/evil.test", "/\x00/evil.test", "/\x7f/evil.test", "\t//evil.test", " //evil.test", "//evil.test ", "\n//evil.test",
	"/ /evil.test", "/a b", "/\u00a0/evil.test", "/\u2028/evil.test", "/\u3000/evil.test", "/\uff0fevil.test", "/\u2044evil.test", "\uff0f\uff0fevil.test", "/\x80",
	"/x\r\nSet-Cookie: a=b", "/x\nLocation: //evil.test", "/%0d%0aSet-Cookie:%20a=b", "/%250d%250aSet-Cookie:a=b", "/x?y\r\nSet-Cookie: a=b", "/x?y\tz",
	"/..", "/../a", "/a/..", "/a/../b", "/a/..//evil.test", "/x/..//evil.test", "/x/../..//evil.test", "/..//evil.test", "/./", "/.", "/.//evil.test", "/./%2fevil.test",
	"/%2e%2e//evil.test", "/%2e%2e/evil.test", "/.%2e/evil.test", "/%252e%252e/evil.test", "/x/%2e%2e/%2fevil.test", "/a//b", "/a//", "//",
	"/%", "/%z", "/%zz", "/a%2", "/%%35%63evil.test", "/;//evil.test", "/" + strings.Repeat("x", 100_000), "/a?" + strings.Repeat("x", 100_000),
}

func TestLocalPathLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	for _, target := range waysOff {
		if got := core.LocalPath(target); got != "/" {
			t.Errorf("LocalPath(%q) = %q", target, got)
		}
	}
}

func FuzzLocalPath(f *testing.F) {
	for _, target := range waysOff {
		f.Add(target)
	}
	f.Add("/a/b?c=d#e")
	base := &url.URL{Scheme: "https", Host: "app.test", Path: "/callback"}
	f.Fuzz(func(t *testing.T, target string) {
		got := core.LocalPath(target)
		u, err := url.Parse(got)
		if err != nil {
			t.Fatalf("%q is no URL: %v", got, err)
		}
		if to := base.ResolveReference(u); to.Scheme != "https" || to.Host != "app.test" || to.User != nil {
			t.Errorf("%q leads to %s", got, to)
		}
		if !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") {
			t.Errorf("%q is no path", got)
		}
		for _, r := range got {
			if r <= ' ' || r >= 0x7f || r == '\\' {
				t.Errorf("%q has %q", got, r)
			}
		}
		if again := core.LocalPath(got); again != got {
			t.Errorf("%q is %q the second time", got, again)
		}
		// Whoever decodes it once more, or takes both slashes for one kind, stays here.
		path, _, _ := strings.Cut(got, "?")
		for range 6 {
			if strings.HasPrefix(strings.ReplaceAll(path, `\`, "/"), "//") || strings.ContainsAny(path, "\r\n\t\x00") {
				t.Errorf("%q decodes to %q", got, path)
			}
			if path, err = url.PathUnescape(path); err != nil {
				break
			}
		}
	})
}
