package page_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/examples/internal/orders"
	"github.com/tokenwell/tokenwell/examples/internal/page"
)

var site = page.Site{
	Framework: "Gin", Application: "http://127.0.0.1:8080", Provider: "http://127.0.0.1:40111",
	API: "http://127.0.0.1:40112", TokenLife: 20 * time.Second,
}

func home() page.Home {
	return page.Home{
		Person: page.Person{Name: "Alice Marchetti"},
		Token:  page.Describe("the token", time.Now().Add(13*time.Second), 20*time.Second, 3),
		Answer: page.Answer{
			Orders: []orders.Order{{ID: "A-1", Item: "<b>Mug", Placed: "2026-03-02", Status: "on its way", Cents: 3405}},
			At:     time.Now(), Took: 2400 * time.Microsecond,
		},
	}
}

func render(t *testing.T, show func(http.ResponseWriter) error) string {
	t.Helper()
	rec := httptest.NewRecorder()
	if err := show(rec); err != nil {
		t.Fatal(err)
	}
	return rec.Body.String()
}

func TestPagesSurviveTheirOwnContentSecurityPolicy(t *testing.T) {
	inline := regexp.MustCompile(`(?i)<style|\sstyle=|\son\w+=|<script(?:[^>]*)>[^<]|javascript:`)
	for name, body := range map[string]string{
		"landing": render(t, site.Landing),
		"home":    render(t, func(w http.ResponseWriter) error { return site.Home(w, home()) }),
		"notes":   render(t, func(w http.ResponseWriter) error { return site.Notes(w, page.Notes{Title: "Notes", Action: "/go"}) }),
	} {
		if found := inline.FindString(body); found != "" {
			t.Errorf("%s holds %q, which the browser would refuse", name, found)
		}
	}
}

func TestHomeSaysEverythingWithoutScript(t *testing.T) {
	body := render(t, func(w http.ResponseWriter) error { return site.Home(w, home()) })
	for _, want := range []string{
		"Alice Marchetti", ">AM<", "&lt;b&gt;Mug", `aria-valuenow="13"`, ">3</dd>", page.Fingerprint("the token"), "€34.05", "2.4 ms",
		`<form method="post" action="/logout">`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in\n%s", want, body)
		}
	}
	if strings.Contains(body, "the token<") || strings.Contains(body, `"the token"`) {
		t.Error("the page holds a token")
	}
}

func TestOrdersAloneAreWhatTheHomePageShows(t *testing.T) {
	h := home()
	whole := render(t, func(w http.ResponseWriter) error { return site.Home(w, h) })
	part := render(t, func(w http.ResponseWriter) error { return site.Orders(w, h.Answer) })
	if !strings.HasPrefix(part, "<table>") || !strings.Contains(whole, part) {
		t.Errorf("the fragment differs:\n%s", part)
	}
}

func TestExpiredTokenHasNothingLeft(t *testing.T) {
	got := page.Describe("x", time.Now().Add(-time.Hour), 20*time.Second, 0)
	if got.ExpiresIn != 0 || got.Percent() != 0 {
		t.Errorf("%+v", got)
	}
}

func TestInitials(t *testing.T) {
	for name, want := range map[string]string{"": "?", "Cher": "C", "alice marchetti": "AM", "Ana de la Cruz": "AC", "Éva Ó Sé": "ÉS"} {
		if got := (page.Person{Name: name}).Initials(); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
