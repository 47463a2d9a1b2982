package ginadapter_test

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
	"github.com/tokenwell/tokenwell/ginadapter"
)

// What is derived from a plain *gin.Context counts: the ticket in it, its end, and its
// options.
func TestClientForContextDerivedFromGins(t *testing.T) {
	t.Parallel()
	p := newProvider(t, coretest.AppURL+"/callback")
	api := p.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, coretest.TokenOf(r).Subject)
	}))
	var resources []string
	m := newManager(t, p, func(cfg *core.Config) {
		cfg.HTTPClients = map[string]core.HTTPClient{
			"api": {BaseURL: api.URL, Token: core.RetrieverFunc(func(ctx context.Context, req core.TokenRequest) (*core.Token, error) {
				resources = append(resources, req.Resource)
				req.Resource = ""
				return core.UserToken().RetrieveToken(ctx, req)
			})},
		}
	})
	bob, err := m.Ticket(coretest.SignedIn(t, m, "bob"))
	if err != nil {
		t.Fatal(err)
	}
	as := func(ctx context.Context) (string, error) {
		resp, err := m.HTTPClientFor(ctx, "api").Get("")
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return string(body), err
	}
	engine := engineWithSessions(t, cookieName)
	ginadapter.Mount(engine, m)
	engine.GET("/", whoami)
	engine.GET("/derived", func(c *gin.Context) {
		for want, ctx := range map[string]context.Context{
			"alice": core.WithOptions(c, core.WithResource("urn:orders")),
			"bob":   m.WithTicket(core.WithOptions(c, core.WithResource("urn:orders")), bob),
		} {
			if user, err := m.User(ctx); err != nil || user.Subject != want {
				t.Errorf("User: %v, %v, want %s", user, err, want)
			}
			if got, err := as(ctx); err != nil || got != want {
				t.Errorf("the client of %s is that of %q: %v", want, got, err)
			}
		}
		for _, asked := range resources {
			if asked != "urn:orders" {
				t.Errorf("resource %q", asked)
			}
		}
		over, end := context.WithCancel(c)
		end()
		if got, err := as(over); err == nil {
			t.Errorf("a client of a context that is over serves %q", got)
		}
		c.String(http.StatusOK, "done")
	})
	b := coretest.NewBrowser(t, engine)
	b.Login("alice")
	if page := b.Get("/derived"); page.Body != "done" {
		t.Fatal(page)
	}
}
