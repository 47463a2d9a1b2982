// Package demotest holds an example to what it promises, through its pages alone: as a person without JavaScript sees
// them, and as their script does.
package demotest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/examples/internal/browser"
	"github.com/tokenwell/tokenwell/examples/internal/page"
)

// Program is an example's main without the signals.
type Program func(ctx context.Context, args []string, stdout io.Writer) error

const patience = 20 * time.Second

// Start runs the program on a free port and returns its address. When the test ends, so must the program, and without
// an error.
func Start(t *testing.T, run Program, args ...string) (app string) {
	t.Helper()
	app, _ = StartPrinting(t, run, args...)
	return app
}

// StartPrinting is Start, and returns what the program prints as well.
func StartPrinting(t *testing.T, run Program, args ...string) (app string, printed *Output) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	printed = newOutput()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), printed)
		if err != nil {
			fmt.Fprintln(printed, "ended:", err)
		}
		done <- err
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("the program ended with: %v", err)
			}
		case <-time.After(patience):
			t.Error("the program does not end")
		}
	})
	app = regexp.MustCompile(`http://\S+`).FindString(printed.Wait(t, "\n"))
	if app == "" {
		t.Fatal("the program prints no address")
	}
	return app, printed
}

// SignIn opens the application and follows it to the provider and back.
func SignIn(t *testing.T, app, user string) (*browser.Browser, *browser.Page) {
	t.Helper()
	b := browser.New(t)
	form := b.Get(app).Follow("/login")
	if strings.HasPrefix(form.URL.String(), app) {
		t.Fatalf("signing in leads to %s, not to the provider: %d\n%s", form.URL, form.Status, form.Body)
	}
	home := form.Submit("/signin", map[string]string{"username": user, "password": user})
	if home.URL.String() != app+"/" || home.Status != http.StatusOK {
		t.Fatalf("signing in ended at %s: %d\n%s", home.URL, home.Status, home.Body)
	}
	return b, home
}

// Test holds the program to all of it.
func Test(t *testing.T, run Program) {
	app := Start(t, run)

	t.Run("a stranger sees the way in", func(t *testing.T) {
		landing := browser.New(t).Get(app)
		if landing.Status != http.StatusOK || landing.Header.Get("Content-Security-Policy") == "" {
			t.Errorf("%d %v", landing.Status, landing.Header)
		}
		if got := browser.New(t).Fetch(app + "/token-status"); got.Status != http.StatusUnauthorized {
			t.Errorf("a script that is not signed in gets %d, want 401", got.Status)
		}
		for _, asset := range []string{"app.css", "app.js", "mark.svg"} {
			if got := browser.New(t).Get(app + page.AssetPath + asset); got.Status != http.StatusOK {
				t.Errorf("%s: %d", asset, got.Status)
			}
		}
	})

	t.Run("everybody sees their own name and orders", func(t *testing.T) {
		_, alice := SignIn(t, app, "alice")
		_, bob := SignIn(t, app, "bob")
		if name, list := alice.Text("name"), alice.Text("orders"); name != "Alice Marchetti" || !strings.Contains(list, "A-2041") {
			t.Errorf("alice is shown to %q: %s", name, list)
		}
		if name, list := bob.Text("name"), bob.Text("orders"); name != "Bob Okafor" || !strings.Contains(list, "B-2044") {
			t.Errorf("bob is shown to %q: %s", name, list)
		}
	})

	t.Run("the script gets the same list and a token's fingerprint", func(t *testing.T) {
		b, home := SignIn(t, app, "alice")
		if got := b.Fetch(app + "/orders"); got.Status != http.StatusOK || !strings.Contains(got.Body, "A-2041") {
			t.Errorf("%d %s", got.Status, got.Body)
		}
		status := readStatus(t, b, app)
		if status.Fingerprint != home.Text("fingerprint") || status.Lifetime != 20 || status.ExpiresIn <= 0 || status.ExpiresIn > 20 {
			t.Errorf("%+v; the page said %s", status, home.Text("fingerprint"))
		}
	})

	t.Run("signing out ends it here and at the provider", func(t *testing.T) {
		b, home := SignIn(t, app, "alice")
		after := home.Submit("/logout", nil)
		if !strings.HasPrefix(after.URL.String(), app+"/") || after.Status != http.StatusOK {
			t.Fatalf("signing out ended at %s: %d\n%s", after.URL, after.Status, after.Body)
		}
		if got := b.Fetch(app + "/orders"); got.Status != http.StatusUnauthorized {
			t.Errorf("the orders are still there: %d", got.Status)
		}
		if again := after.Follow("/login"); strings.HasPrefix(again.URL.String(), app) {
			t.Error("signing in again does not ask for the password")
		}
	})

	t.Run("a cookie of an earlier start is a stranger's", func(t *testing.T) {
		b, _ := SignIn(t, app, "alice")
		restarted := Start(t, run)
		cookies := b.Cookies(app)
		if len(cookies) == 0 {
			t.Fatal("there is no cookie")
		}
		other := browser.New(t)
		for _, c := range cookies {
			other.SetCookie(restarted, &http.Cookie{Name: c.Name, Value: c.Value, Path: "/"})
		}
		if landing := other.Get(restarted); landing.Status != http.StatusOK {
			t.Errorf("%d %s", landing.Status, landing.Body)
		} else {
			landing.Follow("/login")
		}
	})
}

// TestRenewal looks on while a token of one second is renewed.
func TestRenewal(t *testing.T, run Program) {
	app := Start(t, run, "-token-life", "1s")
	b, _ := SignIn(t, app, "alice")
	prints := map[string]bool{}
	for deadline := time.Now().Add(patience); len(prints) < 3; {
		if time.Now().After(deadline) {
			t.Fatalf("%d tokens after %v", len(prints), patience)
		}
		status := readStatus(t, b, app)
		prints[status.Fingerprint] = true
		if status.Refreshes != len(prints)-1 {
			t.Fatalf("%d refreshes are counted after %d tokens", status.Refreshes, len(prints))
		}
		if got := b.Fetch(app + "/orders"); got.Status != http.StatusOK {
			t.Fatalf("the orders: %d", got.Status)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func readStatus(t *testing.T, b *browser.Browser, app string) page.Token {
	t.Helper()
	got := b.Fetch(app + "/token-status")
	var status page.Token
	if err := json.Unmarshal([]byte(got.Body), &status); err != nil || got.Status != http.StatusOK {
		t.Fatalf("token-status: %d %s", got.Status, got.Body)
	}
	return status
}
