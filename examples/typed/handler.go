package main

import (
	"errors"
	"net/http"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/examples/internal/page"
)

// Handler shows the report.
type Handler struct {
	spending *Spending
	m        *core.Manager // says who is signed in
	site     page.Site
}

// NewHandler takes what it shows, and who can say to whom.
func NewHandler(s *Spending, m *core.Manager, site page.Site) *Handler {
	return &Handler{spending: s, m: m, site: site}
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := h.serve(w, r)
	if err != nil && !core.ServeError(w, r, err) {
		http.Error(w, "internal error", http.StatusInternalServerError)
	}
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request) error {
	user, err := h.m.User(r.Context())
	if errors.Is(err, core.ErrLoginRequired) {
		return h.site.Landing(w)
	}
	if err != nil {
		return err
	}
	var who page.Person
	if err := user.Claims(&who); err != nil {
		return err
	}
	report, err := h.spending.Report(r.Context()) // the context says who asks
	if err != nil {
		return err
	}
	return h.site.Notes(w, page.Notes{Person: who, Title: "What was spent", Notes: report})
}
