package coretest

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// AppURL is where a [Browser] finds the application.
const AppURL = "https://" + appHost

const appHost = "app.test"

// Browser is a person's browser, in which the application under test is at
// [AppURL], over https as far as it can tell. It keeps cookies as browsers do,
// those of the application apart from those of other sites, and sends the headers
// that browsers send with a navigation or a fetch. Other sites it reaches on
// loopback only. It does not run scripts, and it sends cookies whatever their
// SameSite says.
//
// Several tabs may use it at once: its methods are safe for concurrent use, but
// those that can fail the test must be called from the test's own goroutine. Do can
// be called from any.
type Browser struct {
	t         testing.TB
	transport *http.Transport

	app *jar

	mu     sync.Mutex
	others *jar // forgotten when somebody signs in
}

// NewBrowser opens a browser that runs until the test ends. Several browsers may
// share one application; they share no cookies.
func NewBrowser(t testing.TB, app http.Handler) *Browser {
	t.Helper()
	// The application is served without TLS on loopback and told that there was some:
	// a real server gives it real streams, hijacking and cancellation, and no
	// certificate has to be trusted.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: appHost}
		app.ServeHTTP(w, r)
	}))
	b := &Browser{t: t, app: newJar(), others: newJar()}
	b.transport = &http.Transport{
		DialContext:         dialLoopback,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 100,
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr != appHost+":443" {
				return nil, errors.New("coretest: the browser knows no https site but " + AppURL)
			}
			return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
		},
	}
	t.Cleanup(func() {
		b.transport.CloseIdleConnections()
		server.CloseClientConnections() // lets go of streams
		server.Close()
	})
	return b
}

func dialLoopback(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, errors.New("coretest: the browser knows no sites beyond loopback")
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// Get navigates to a path of the application, or to a URL, and follows redirects to
// wherever they lead. It fails the test when there is no answer; an answer of any
// status will do.
func (b *Browser) Get(path string) *Page {
	b.t.Helper()
	return b.navigate(http.MethodGet, path, nil).Follow()
}

// Open navigates as Get does, but stays with the first answer. [Page.Follow] goes
// on from there.
func (b *Browser) Open(path string) *Page {
	b.t.Helper()
	return b.navigate(http.MethodGet, path, nil)
}

// Post submits a form of the application to a path of it, or to a URL, and follows
// redirects.
func (b *Browser) Post(path string, form url.Values) *Page {
	b.t.Helper()
	return b.navigate(http.MethodPost, path, form).Follow()
}

// Fetch calls a path of the application as a script of it does: with cookies, and
// without following redirects. A nil form sends no body.
func (b *Browser) Fetch(method, path string, form url.Values) *Page {
	b.t.Helper()
	r := b.newRequest(method, b.resolve(path), form)
	r.Header.Set("Accept", "*/*")
	setFetch(r, "cors", "empty", "same-origin")
	return b.page(r, nil)
}

// Login signs a user in: it opens /login, fills in the provider's form, and returns
// the page of the application where that has led. It fails the test if that is not
// a page of status 2xx.
//
// Another user can be signed in over the one before: Login forgets the cookies of
// other sites, so that the provider asks again. Get("/login") relies on the
// provider's session.
func (b *Browser) Login(user string) *Page {
	b.t.Helper()
	return b.LoginAt("/login", user)
}

// LoginAt signs a user in as Login does, at another path: of an application that
// has its login elsewhere, or with parameters.
func (b *Browser) LoginAt(path, user string) *Page {
	b.t.Helper()
	b.mu.Lock()
	b.others = newJar()
	b.mu.Unlock()
	page := b.Get(path)
	if page.Status != http.StatusOK || atApp(page.URL) {
		b.t.Fatalf("coretest: %s did not lead to the provider's login form but to %s", path, page)
	}
	page = page.Submit(url.Values{"user": {user}})
	if !atApp(page.URL) || page.Status/100 != 2 {
		b.t.Fatalf("coretest: login of %s did not end on a page of the application but at %s", user, page)
	}
	return page
}

// Logout posts to /logout, and returns the page where that has led, by way of the
// provider.
func (b *Browser) Logout() *Page {
	b.t.Helper()
	return b.Post("/logout", url.Values{})
}

// Cookies returns the names and values of the cookies that the application would
// get.
func (b *Browser) Cookies() []*http.Cookie { return b.app.Cookies(appRoot()) }

// SetCookies puts cookies of the application into the browser, as somebody does who
// has stolen or planted them. Only their names and values count; an empty value
// takes the cookie away.
func (b *Browser) SetCookies(cookies ...*http.Cookie) {
	for _, c := range cookies {
		planted := &http.Cookie{Name: c.Name, Value: c.Value, Path: "/", Secure: true}
		if c.Value == "" {
			planted.MaxAge = -1
		}
		b.app.SetCookies(appRoot(), []*http.Cookie{planted})
	}
}

// Do sends a request of any kind, to a path of the application or to a URL, and
// returns the answer as soon as it begins, for the caller to read and close.
// Cookies are sent and kept; redirects are not followed; headers are the request's
// own and no others.
func (b *Browser) Do(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if r.RequestURI != "" {
		// Made by httptest.NewRequest for a server: neither this nor its host is the
		// caller's choice.
		r.RequestURI = ""
		if r.Host == "example.com" {
			r.Host = ""
		}
	}
	if r.URL.Host == "" {
		r.URL = appRoot().ResolveReference(r.URL)
	}
	cookies := b.jar(r.URL)
	for _, cookie := range cookies.Cookies(r.URL) {
		r.AddCookie(cookie)
	}
	resp, err := b.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	cookies.SetCookies(r.URL, resp.Cookies())
	return resp, nil
}

func (b *Browser) jar(u *url.URL) *jar {
	b.mu.Lock()
	defer b.mu.Unlock()
	if u.Hostname() == appHost {
		return b.app
	}
	return b.others
}

func (b *Browser) navigate(method, path string, form url.Values) *Page {
	b.t.Helper()
	u := b.resolve(path)
	site := "none" // typed into the address bar
	if method != http.MethodGet {
		site = "same-origin"
	}
	return b.load(method, u, form, site, nil)
}

// load makes one step of a navigation.
func (b *Browser) load(method string, u *url.URL, form url.Values, site string, via []*Page) *Page {
	b.t.Helper()
	r := b.newRequest(method, u, form)
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	r.Header.Set("Upgrade-Insecure-Requests", "1")
	setFetch(r, "navigate", "document", site)
	if site == "cross-site" && r.Header.Get("Origin") != "" {
		r.Header.Set("Origin", "null") // a redirect has brought the form here
	}
	page := b.page(r, via)
	page.form = form
	return page
}

func setFetch(r *http.Request, mode, dest, site string) {
	r.Header.Set("Sec-Fetch-Mode", mode)
	r.Header.Set("Sec-Fetch-Dest", dest)
	r.Header.Set("Sec-Fetch-Site", site)
}

func (b *Browser) newRequest(method string, u *url.URL, form url.Values) *http.Request {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, u.String(), strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if form == nil {
		r.Body, r.GetBody = http.NoBody, nil
	} else {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if method != http.MethodGet && method != http.MethodHead {
		r.Header.Set("Origin", u.Scheme+"://"+u.Host)
	}
	return r
}

func (b *Browser) resolve(path string) *url.URL {
	b.t.Helper()
	u, err := appRoot().Parse(path)
	if err != nil {
		b.t.Fatalf("coretest: %v", err)
	}
	return u
}

func atApp(u *url.URL) bool { return u.Scheme+"://"+u.Host == AppURL }

func appRoot() *url.URL { return &url.URL{Scheme: "https", Host: appHost, Path: "/"} }
