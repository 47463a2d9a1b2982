// Package browser is a web browser without a screen and without JavaScript: it keeps cookies, follows redirects, finds
// forms and sends them. It is enough to sign in at a provider that renders plain HTML, as a user's browser would.
package browser

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Browser is one user's browser. It is safe for concurrent use.
type Browser struct {
	t      testing.TB
	client *http.Client
}

// New returns a browser without cookies.
func New(t testing.TB) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Browser{t: t, client: &http.Client{
		Jar:           trustworthy{jar},
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Page is where a navigation ended.
type Page struct {
	URL    *url.URL
	Status int
	Header http.Header
	Body   string
	Hops   []*url.URL // every address on the way, the first that was asked for and this page's own included

	browser *Browser
}

// Open navigates to an address, as typing it does.
func (b *Browser) Open(address string) *Page {
	b.t.Helper()
	return b.navigate(b.request(http.MethodGet, address, nil, "none"))
}

// Fetch asks for an address as a script of its own page would: no redirect is followed. Unlike the rest of Browser it may
// be called from any goroutine of a test.
func (b *Browser) Fetch(ctx context.Context, method, address string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, address, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Accept", "*/*")
	req.Header.Set("Sec-Fetch-Mode", "cors")
	req.Header.Set("Sec-Fetch-Dest", "empty")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	resp, err := b.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func (b *Browser) request(method, address string, form url.Values, site string) *http.Request {
	b.t.Helper()
	var body io.Reader = http.NoBody
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, address, body)
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	req.Header.Set("Sec-Fetch-Mode", "navigate")
	req.Header.Set("Sec-Fetch-Dest", "document")
	req.Header.Set("Sec-Fetch-Site", site)
	return req
}

const maxHops = 20

// navigate sends req and follows redirects, as RFC 9110 section 15.4 and browsers do: 303 always becomes a GET, and so
// does a POST that is answered with 301 or 302.
func (b *Browser) navigate(req *http.Request) *Page {
	b.t.Helper()
	var hops []*url.URL
	for range maxHops {
		hops = append(hops, req.URL)
		page := b.do(req)
		page.Hops = hops
		location := page.Header.Get("Location")
		if location == "" || page.Status < 300 || page.Status > 399 {
			return page
		}
		if page.Status == http.StatusTemporaryRedirect || page.Status == http.StatusPermanentRedirect {
			b.t.Fatalf("%s answered %d, which this browser does not follow", req.URL, page.Status)
		}
		next, err := req.URL.Parse(location)
		if err != nil {
			b.t.Fatalf("%s redirects to %q: %v", req.URL, location, err)
		}
		req = b.request(http.MethodGet, next.String(), nil, siteOf(req.URL, next))
	}
	b.t.Fatalf("more than %d redirects: %s", maxHops, hops)
	return nil
}

func (b *Browser) do(req *http.Request) *Page {
	b.t.Helper()
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return &Page{URL: req.URL, Status: resp.StatusCode, Header: resp.Header, Body: string(body), browser: b}
}

// Cookies returns what the browser would send to an address.
func (b *Browser) Cookies(address string) []*http.Cookie {
	b.t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.client.Jar.Cookies(u)
}

// String shows a page in a test's failure.
func (p *Page) String() string {
	return fmt.Sprintf("%d at %s\n%s", p.Status, p.URL.Redacted(), p.Body)
}

// siteOf is what Sec-Fetch-Site says of a request from one address to another. Ports do not make a site.
func siteOf(from, to *url.URL) string {
	switch {
	case from.Scheme == to.Scheme && from.Host == to.Host:
		return "same-origin"
	case from.Scheme == to.Scheme && from.Hostname() == to.Hostname():
		return "same-site"
	}
	return "cross-site"
}

// trustworthy treats loopback as secure, as browsers do: Keycloak marks its cookies Secure there, and net/http's jar
// would keep them back.
type trustworthy struct{ http.CookieJar }

func (j trustworthy) Cookies(u *url.URL) []*http.Cookie {
	if host := u.Hostname(); u.Scheme == "http" && (host == "127.0.0.1" || host == "localhost") {
		secure := *u
		secure.Scheme = "https"
		u = &secure
	}
	return j.CookieJar.Cookies(u)
}
