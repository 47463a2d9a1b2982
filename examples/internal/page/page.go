// Package page is what the examples look like: a few templates, one style sheet, and a script that no page depends on.
// Nothing in it knows about Gin or Echo.
package page

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"time"

	"github.com/tokenwell/tokenwell/examples/internal/orders"
)

// AssetPath is where Assets expects to be mounted.
const AssetPath = "/assets/"

//go:embed assets
var assets embed.FS

//go:embed templates
var sources embed.FS

var templates = template.Must(template.New("").ParseFS(sources, "templates/*.html"))

// Assets serves the style sheet, the script and the icon.
func Assets() http.Handler { return http.FileServerFS(assets) }

// Site is what all pages of one program share.
type Site struct {
	Framework   string // Gin, Echo, or what else the example is about
	Lead        string // what the landing page promises; "": that one can watch a token being renewed
	Application string // addresses, shown to whoever wonders what is running
	Provider    string
	API         string
	TokenLife   time.Duration
}

// Home is the page of somebody who is signed in.
type Home struct {
	Person Person
	Token  Token
	Answer Answer
}

// Notes is a plainer page of somebody who is signed in: lines of text, and perhaps something to press. With that it looks
// for more lines every second.
type Notes struct {
	Person Person
	Title  string
	Notes  []string
	Action string // where the button posts to; "": there is none
	Press  string // what it says
}

// Answer is what the orders API said.
type Answer struct {
	Orders []orders.Order
	At     time.Time
	Took   time.Duration
}

// Clock and Millis are for the template.
func (a Answer) Clock() string { return a.At.Format("15:04:05") }

// Millis is how long the call took.
func (a Answer) Millis() float64 {
	return float64(a.Took.Round(100*time.Microsecond).Microseconds()) / 1000
}

// Landing answers somebody who is not signed in.
func (s Site) Landing(w http.ResponseWriter) error { return s.render(w, "landing.html", nil) }

// Home answers somebody who is.
func (s Site) Home(w http.ResponseWriter, h Home) error { return s.render(w, "home.html", h) }

// Notes answers with lines of text.
func (s Site) Notes(w http.ResponseWriter, n Notes) error { return s.render(w, "notes.html", n) }

// Orders answers with the list alone, which the script puts in place of the one on the page.
func (s Site) Orders(w http.ResponseWriter, a Answer) error { return s.render(w, "orders", a) }

func (s Site) render(w http.ResponseWriter, name string, view any) error {
	var page bytes.Buffer
	err := templates.ExecuteTemplate(&page, name, struct {
		Site
		View any
	}{s, view})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, err = page.WriteTo(w)
	return err
}

// Headers forbids inline scripts and styles, frames, and every origin but the page's own. Browsers hold form-action
// against redirects too, and a sign-out goes by way of the provider: hence the issuer.
func Headers(issuer string, next http.Handler) http.Handler {
	policy := "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"base-uri 'none'; frame-ancestors 'none'; form-action 'self' " + issuer
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}
