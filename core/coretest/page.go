package coretest

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A chain of redirects longer than this is a loop to browsers.
const maxRedirects = 20

// Page is an answer that a [Browser] has got, read to its end.
type Page struct {
	URL    *url.URL // where it is from
	Status int
	Header http.Header
	Body   string
	Via    []*Page // the redirects that led here, the first one first

	browser *Browser
	method  string
	form    url.Values
	site    string
}

// page sends a request and reads the answer.
func (b *Browser) page(r *http.Request, via []*Page) *Page {
	b.t.Helper()
	resp, err := b.Do(r)
	if err != nil {
		b.t.Fatalf("coretest: %s %s: %v", r.Method, r.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatalf("coretest: %s %s: %v", r.Method, r.URL, err)
	}
	return &Page{
		URL:     r.URL,
		Status:  resp.StatusCode,
		Header:  resp.Header,
		Body:    string(body),
		Via:     via,
		browser: b,
		method:  r.Method,
		site:    r.Header.Get("Sec-Fetch-Site"),
	}
}

// Location returns where a redirect leads, nil if the page is none.
func (p *Page) Location() *url.URL {
	location := p.Header.Get("Location")
	if p.Status/100 != 3 || location == "" {
		return nil
	}
	u, err := p.URL.Parse(location)
	if err != nil {
		return nil
	}
	if u.Fragment == "" {
		u.Fragment = p.URL.Fragment
	}
	return u
}

// Next follows the page's redirect by one step. It returns the page itself if it is
// no redirect.
func (p *Page) Next() *Page {
	b := p.browser
	b.t.Helper()
	to := p.Location()
	if to == nil {
		return p
	}
	via := slices.Concat(p.Via, []*Page{p})
	if len(via) > maxRedirects {
		b.t.Fatalf("coretest: redirected in circles: %s", p)
	}
	method, form := p.method, p.form
	keeps := p.Status == http.StatusTemporaryRedirect || p.Status == http.StatusPermanentRedirect
	if !keeps && method != http.MethodHead {
		method, form = http.MethodGet, nil
	}
	// A navigation that has left its site once is cross-site to its end, when it comes
	// back too; only what the person began in the address bar stays that.
	site := p.site
	if site != "none" && to.Hostname() != p.URL.Hostname() {
		site = "cross-site"
	}
	return b.load(method, to, form, site, via)
}

// Follow follows redirects to the page where they end. It returns the page itself
// if it is no redirect.
func (p *Page) Follow() *Page {
	p.browser.t.Helper()
	for p.Location() != nil {
		p = p.Next()
	}
	return p
}

// Submit posts to the page's own URL, as a form without an action does, and follows
// redirects.
func (p *Page) Submit(form url.Values) *Page {
	p.browser.t.Helper()
	return p.browser.load(http.MethodPost, p.URL, form, "same-origin", nil).Follow()
}

// Cookies returns the cookies that the page itself sets, with their attributes.
func (p *Page) Cookies() []*http.Cookie {
	return (&http.Response{Header: p.Header}).Cookies()
}

// String tells where the page is from, what came, and by which way, without the
// values of query parameters.
func (p *Page) String() string {
	var s strings.Builder
	for _, hop := range p.Via {
		fmt.Fprintf(&s, "%s %s → ", hop.method, bare(hop.URL))
	}
	body := p.Body
	if len(body) > 500 {
		body = body[:500] + "…"
	}
	fmt.Fprintf(&s, "%s %s: %d %s", p.method, bare(p.URL), p.Status, body)
	return s.String()
}

func bare(u *url.URL) string {
	c := *u
	query := c.Query()
	for name := range query {
		query.Set(name, "…")
	}
	c.RawQuery = ""
	if len(query) > 0 {
		c.RawQuery = strings.ReplaceAll(query.Encode(), url.QueryEscape("…"), "…")
	}
	return c.String()
}
