package idp

import (
	"bytes"
	"context"
	"embed"
	"html/template"
	"net/http"
)

const signInPath = "/signin"

//go:embed assets
var assets embed.FS

//go:embed signin.html
var signInSource string

var signInPage = template.Must(template.New("signin").Parse(signInSource))

// signIn is the form between the authorization request and its answer.
type signIn struct {
	storage *storage
	resume  func(ctx context.Context, request string) string // where a finished sign-in goes on
}

// view is what the form shows.
type view struct {
	client
	Request  string
	Username string
	Wrong    bool // the password was
	Expired  bool // there is no form to show
}

func (f *signIn) show(w http.ResponseWriter, r *http.Request) {
	id := r.FormValue("request")
	c, req, err := f.asked(id)
	if err != nil {
		f.render(w, http.StatusBadRequest, view{Expired: true})
		return
	}
	f.render(w, http.StatusOK, view{client: c, Request: id, Username: req.asked.LoginHint})
}

// asked finds the application that somebody is signing in to.
func (f *signIn) asked(id string) (client, *authRequest, error) {
	req, err := f.storage.request(id)
	if err != nil {
		return client{}, nil, err
	}
	c, err := f.storage.lookUp(req.asked.ClientID)
	return c, req, err
}

func (f *signIn) submit(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	id, username := r.PostFormValue("request"), r.PostFormValue("username")
	c, _, err := f.asked(id)
	right := false
	if err == nil {
		right, err = f.storage.authenticate(id, username, r.PostFormValue("password"))
	}
	switch {
	case err != nil:
		f.render(w, http.StatusBadRequest, view{Expired: true})
	case !right:
		f.render(w, http.StatusUnprocessableEntity, view{client: c, Request: id, Username: username, Wrong: true})
	default:
		http.Redirect(w, r, f.resume(r.Context(), id), http.StatusSeeOther)
	}
}

func (f *signIn) render(w http.ResponseWriter, status int, v view) {
	var page bytes.Buffer
	if err := signInPage.Execute(&page, v); err != nil {
		http.Error(w, "the page is broken", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	// Browsers hold form-action against the redirects of a submitted form too, and these end at the application.
	h.Set("Content-Security-Policy",
		"default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' "+v.origin())
	w.WriteHeader(status)
	_, _ = page.WriteTo(w) // a browser that left needs no page
}
