package coretest_test

import (
	"net/http"
	"testing"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

func get(t *testing.T, s core.Session, key string) string {
	t.Helper()
	value, err := s.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestNewSession(t *testing.T) {
	s := coretest.NewSession()
	s.Set("a", "1")
	s.Set("b", "2")
	s.Delete("b")
	if get(t, s, "a") != "1" || get(t, s, "b") != "" {
		t.Error("not as it was set")
	}
	if err := s.Save(); err != nil {
		t.Error(err)
	}
	if err := s.Renew(); err != nil || get(t, s, "a") != "" {
		t.Error("renewed with its contents")
	}
}

// sessionApp does to the session what the path says.
func sessionApp(t *testing.T, open core.SessionFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := open(w, r)
		if err != nil {
			t.Error(err)
		}
		switch r.URL.Path {
		case "/set":
			s.Set("a", r.URL.RawQuery)
			err = s.Save()
		case "/unsaved":
			s.Set("a", r.URL.RawQuery)
		case "/renew":
			_ = s.Renew()
			s.Set("b", "new")
			err = s.Save()
		}
		if err != nil {
			t.Error(err)
		}
		a, _ := s.Get("a")
		b, _ := s.Get("b")
		_, _ = w.Write([]byte(a + "," + b))
	})
}

func TestSessionsFollowTheirCookie(t *testing.T) {
	app := sessionApp(t, coretest.Sessions())
	alice, bob := coretest.NewBrowser(t, app), coretest.NewBrowser(t, app)
	set := alice.Get("/set?1")
	if c := set.Cookies(); len(c) != 1 || c[0].Name != "__Host-session" || !c[0].Secure || !c[0].HttpOnly ||
		c[0].SameSite != http.SameSiteLaxMode || c[0].Path != "/" {
		t.Errorf("cookies = %v", c)
	}
	alice.Get("/unsaved?2")
	if got := alice.Get("/").Body; got != "1," {
		t.Errorf("alice: %q", got)
	}
	if got := bob.Get("/"); got.Body != "," || len(got.Cookies()) != 0 {
		t.Errorf("bob: %s", got)
	}
}

func TestRenewedSessionLeavesNothingBehind(t *testing.T) {
	app := sessionApp(t, coretest.Sessions())
	b, thief := coretest.NewBrowser(t, app), coretest.NewBrowser(t, app)
	b.Get("/set?1")
	thief.SetCookies(b.Cookies()...)
	if got := b.Get("/renew").Body; got != ",new" {
		t.Errorf("renewed: %q", got)
	}
	if got := b.Get("/").Body; got != ",new" {
		t.Errorf("after: %q", got)
	}
	if got := thief.Get("/").Body; got != "," {
		t.Errorf("the old cookie still opens %q", got)
	}
	planted := thief.Cookies()[0].Value
	thief.Get("/set?3")
	if thief.Cookies()[0].Value == planted {
		t.Error("a planted session ID was taken up")
	}
}
