// Package browser drives pages as a person without JavaScript would: it follows links and redirects, keeps cookies and
// submits the forms it finds. It is for tests.
package browser

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// Browser has its own cookies and nothing else.
type Browser struct {
	tb     testing.TB
	client *http.Client
}

// Page is what the browser shows after the last redirect.
type Page struct {
	URL    *url.URL
	Status int
	Header http.Header
	Body   string

	browser *Browser
	root    *html.Node
}

// New returns a browser without cookies.
func New(tb testing.TB) *Browser {
	tb.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		tb.Fatal(err)
	}
	client := &http.Client{Jar: jar, Transport: &http.Transport{}}
	tb.Cleanup(client.CloseIdleConnections)
	return &Browser{tb: tb, client: client}
}

// Cookies are those the browser would send to the address.
func (b *Browser) Cookies(address string) []*http.Cookie {
	b.tb.Helper()
	u, err := url.Parse(address)
	if err != nil {
		b.tb.Fatal(err)
	}
	return b.client.Jar.Cookies(u)
}

// SetCookie gives the browser a cookie that the address might have left there earlier.
func (b *Browser) SetCookie(address string, c *http.Cookie) {
	b.tb.Helper()
	u, err := url.Parse(address)
	if err != nil {
		b.tb.Fatal(err)
	}
	b.client.Jar.SetCookies(u, []*http.Cookie{c})
}

// Get is typing an address.
func (b *Browser) Get(address string) *Page {
	b.tb.Helper()
	return b.send(http.MethodGet, address, nil)
}

// Fetch is what a script on a page of the same origin does.
func (b *Browser) Fetch(address string) *Page {
	b.tb.Helper()
	return b.send(http.MethodGet, address, nil, "Sec-Fetch-Mode", "cors", "Accept", "application/json")
}

func (b *Browser) send(method, address string, form url.Values, headers ...string) *Page {
	b.tb.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(b.tb.Context(), method, address, body)
	if err != nil {
		b.tb.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", req.URL.Scheme+"://"+req.URL.Host)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.tb.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.tb.Fatal(err)
	}
	root, err := html.Parse(strings.NewReader(string(text)))
	if err != nil {
		b.tb.Fatal(err)
	}
	return &Page{
		URL: resp.Request.URL, Status: resp.StatusCode, Header: resp.Header, Body: string(text),
		browser: b, root: root,
	}
}

// Submit sends the form with that action as it stands on the page, with the given fields filled in. The test fails when
// the page has no such form, or the form no such field.
func (p *Page) Submit(action string, fill map[string]string) *Page {
	p.browser.tb.Helper()
	form := find(p.root, func(n *html.Node) bool { return n.Data == "form" && attr(n, "action") == action })
	if form == nil {
		p.browser.tb.Fatalf("%s has no form to %s:\n%s", p.URL.Path, action, p.Body)
	}
	values := url.Values{}
	for n := range form.Descendants() {
		if n.Type == html.ElementNode && n.Data == "input" && attr(n, "name") != "" {
			values.Set(attr(n, "name"), attr(n, "value"))
		}
	}
	for name, value := range fill {
		if !values.Has(name) {
			p.browser.tb.Fatalf("the form to %s has no field %q", action, name)
		}
		values.Set(name, value)
	}
	target, err := p.URL.Parse(action)
	if err != nil {
		p.browser.tb.Fatal(err)
	}
	if strings.EqualFold(attr(form, "method"), http.MethodPost) {
		return p.browser.send(http.MethodPost, target.String(), values)
	}
	target.RawQuery = values.Encode()
	return p.browser.Get(target.String())
}

// Follow clicks the link to that address.
func (p *Page) Follow(href string) *Page {
	p.browser.tb.Helper()
	if find(p.root, func(n *html.Node) bool { return n.Data == "a" && attr(n, "href") == href }) == nil {
		p.browser.tb.Fatalf("%s has no link to %s:\n%s", p.URL.Path, href, p.Body)
	}
	target, err := p.URL.Parse(href)
	if err != nil {
		p.browser.tb.Fatal(err)
	}
	return p.browser.Get(target.String())
}

// Text is what the element with that ID says; the test fails without one.
func (p *Page) Text(id string) string {
	p.browser.tb.Helper()
	n := find(p.root, func(n *html.Node) bool { return attr(n, "id") == id })
	if n == nil {
		p.browser.tb.Fatalf("%s has no element %q:\n%s", p.URL.Path, id, p.Body)
	}
	var text strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			fmt.Fprint(&text, d.Data, " ")
		}
	}
	return strings.Join(strings.Fields(text.String()), " ")
}

func find(root *html.Node, match func(*html.Node) bool) *html.Node {
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && match(n) {
			return n
		}
	}
	return nil
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
