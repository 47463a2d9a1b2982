package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tokenwell/tokenwell/examples/internal/demo/demotest"
)

func TestJobActsForItsUserAfterTheRequest(t *testing.T) {
	app, printed := demotest.StartPrinting(t, run, "-steps", "3", "-pause", "1ms")
	for user, step := range map[string]string{
		"alice": "Alice Marchetti: step 3 of 3: 4 orders",
		"bob":   "Bob Okafor: step 3 of 3: 2 orders",
	} {
		b, home := demotest.SignIn(t, app, user)
		if jobs := home.Submit("/jobs", nil); jobs.Status != http.StatusOK || !strings.Contains(jobs.Text("notes"), "queued") {
			t.Fatalf("%d\n%s", jobs.Status, jobs.Body)
		}
		printed.Wait(t, step)
		printed.Wait(t, strings.Split(step, ":")[0]+": the job is done")
		if notes := b.Get(app).Text("notes"); !strings.HasPrefix(notes, "the job is done") {
			t.Errorf("%s is shown %q", user, notes)
		}
	}
}

func TestJobEndsWhenItsUserSignsOut(t *testing.T) {
	app, printed := demotest.StartPrinting(t, run, "-steps", "1000000", "-pause", "1ms")
	_, alice := demotest.SignIn(t, app, "alice")
	alice.Submit("/jobs", nil)
	printed.Wait(t, "step 1 of")
	alice.Submit("/logout", nil)
	printed.Wait(t, "Alice Marchetti: the job is given up: ")
}

func TestTokensAreRenewedForAJob(t *testing.T) {
	app, printed := demotest.StartPrinting(t, run, "-steps", "60", "-pause", "50ms", "-token-life", "1s")
	_, alice := demotest.SignIn(t, app, "alice")
	alice.Submit("/jobs", nil)
	until := map[string]bool{}
	for _, line := range strings.Split(printed.Wait(t, "the job is done"), "\n") {
		if _, at, ok := strings.Cut(line, "lives until "); ok {
			until[at] = true
		}
	}
	if len(until) < 2 {
		t.Errorf("the job of three seconds had tokens until %v", until)
	}
}

func TestNeitherStrangersNorOtherSitesStartJobs(t *testing.T) {
	app := demotest.Start(t, run)
	for from, want := range map[string]int{"same-origin": http.StatusUnauthorized, "cross-site": http.StatusForbidden} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, app+"/jobs", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Sec-Fetch-Site", from)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %s, want %d", from, resp.Status, want)
		}
	}
}
