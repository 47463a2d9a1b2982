package coretest_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core/coretest"
)

func TestBrowserShowsHTTPSToApplication(t *testing.T) {
	b := coretest.NewBrowser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, r.TLS != nil, r.Host, r.URL, r.RequestURI)
	}))
	if got, want := b.Get("/a?b=c").Body, "true app.test /a?b=c /a?b=c\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestBrowserKeepsCookieRules(t *testing.T) {
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/set" {
			for _, c := range []string{
				"__Host-good=1; Secure; Path=/; HttpOnly", "__Host-path=1; Secure; Path=/set", "__Host-plain=1; Path=/",
				"__Secure-plain=1", "none=1; SameSite=None", "plain=1",
			} {
				w.Header().Add("Set-Cookie", c)
			}
		}
	})
	b := coretest.NewBrowser(t, app)
	page := b.Get("/set")
	if len(page.Cookies()) != 6 || !page.Cookies()[0].HttpOnly {
		t.Errorf("set: %v", page.Cookies())
	}
	names := func(cookies []*http.Cookie) (names []string) {
		for _, c := range cookies {
			names = append(names, c.Name)
		}
		return names
	}
	if diff := cmp.Diff([]string{"__Host-good", "plain"}, names(b.Cookies())); diff != "" {
		t.Error(diff)
	}
	thief := coretest.NewBrowser(t, app)
	thief.SetCookies(b.Cookies()...)
	thief.SetCookies(&http.Cookie{Name: "plain"})
	if diff := cmp.Diff([]string{"__Host-good"}, names(thief.Cookies())); diff != "" {
		t.Error(diff)
	}
}

func TestBrowserSendsFetchMetadata(t *testing.T) {
	b := coretest.NewBrowser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := r.Header
		fmt.Fprintf(w, "%s %s %s %s", r.Method, h.Get("Sec-Fetch-Mode"), h.Get("Sec-Fetch-Site"), h.Get("Origin"))
	}))
	for _, test := range []struct {
		page *coretest.Page
		want string
	}{
		{b.Get("/"), "GET navigate none "},
		{b.Post("/", nil), "POST navigate same-origin https://app.test"},
		{b.Fetch("GET", "/", nil), "GET cors same-origin "},
		{b.Fetch("DELETE", "/", nil), "DELETE cors same-origin https://app.test"},
	} {
		if test.page.Body != test.want {
			t.Errorf("%q, want %q", test.page.Body, test.want)
		}
	}
}

func TestBrowserRedirects(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://app.test/end", http.StatusSeeOther)
	}))
	t.Cleanup(elsewhere.Close)
	mux := http.NewServeMux()
	mux.Handle("/away", http.RedirectHandler(elsewhere.URL, http.StatusSeeOther))
	mux.Handle("/again", http.RedirectHandler("/end", http.StatusTemporaryRedirect))
	mux.HandleFunc("/end", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Method, " ", r.FormValue("a"), " ", r.Header.Get("Sec-Fetch-Site"))
	})
	b := coretest.NewBrowser(t, mux)
	form := url.Values{"a": {"b"}}

	if page := b.Post("/away", form); page.Body != "GET  cross-site" || len(page.Via) != 2 || page.URL.Path != "/end" {
		t.Errorf("see other: %s", page)
	}
	if page := b.Post("/again", form); page.Body != "POST b same-origin" {
		t.Errorf("temporary redirect: %s", page)
	}
	first := b.Open("/away")
	if first.Status != http.StatusSeeOther || first.Location().String() != elsewhere.URL {
		t.Errorf("open: %s", first)
	}
	if got := first.Next().URL.Host; got != first.Location().Host {
		t.Errorf("next: %s", got)
	}
	if page := b.Fetch("GET", "/away", nil); page.Status != http.StatusSeeOther {
		t.Errorf("fetch: %s", page)
	}
}

func TestBrowserStreams(t *testing.T) {
	gone := make(chan struct{})
	b := coretest.NewBrowser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(gone)
	}))
	resp, err := b.Do(httptest.NewRequest(http.MethodGet, "/stream", nil))
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); line != "hello\n" || err != nil {
		t.Errorf("%q, %v", line, err)
	}
	resp.Body.Close()
	<-gone
}

func TestBrowserDoSendsWhatItIsGiven(t *testing.T) {
	b := coretest.NewBrowser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %s", r.Host, r.Header.Get("Origin"), r.Header.Get("Cookie"), body)
	}))
	b.SetCookies(&http.Cookie{Name: "session", Value: "1"})
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("body"))
	r.Host = "evil.test"
	r.Header.Set("Origin", "https://evil.test")
	resp, err := b.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, _ := io.ReadAll(resp.Body)
	if want := "evil.test https://evil.test session=1 body"; string(got) != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestBrowserStaysOnLoopback(t *testing.T) {
	b := coretest.NewBrowser(t, http.NotFoundHandler())
	for _, address := range []string{"https://example.com/", "http://example.com/", "http://app.test/", "https://app.test:8443/"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := b.Do(r); err == nil {
			resp.Body.Close()
			t.Errorf("%s was reached", address)
		}
	}
}
