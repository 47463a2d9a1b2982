package chromium_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"

	"github.com/tokenwell/tokenwell/internal/interop/process"
)

// startExample builds an example and runs it on a free port until the test ends. It returns the address that it prints.
func startExample(t *testing.T, name string, args ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), name)
	build := exec.Command("go", "build", "-o", program, "./"+name)
	build.Dir = filepath.Join("..", "..", "..", "examples")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	p, err := process.Start(exec.Command(program, append([]string{"-addr", "127.0.0.1:0"}, args...)...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("%s printed:\n%s", name, p.Output())
		}
	})
	address := regexp.MustCompile(`(?m) is at (http://127\.0\.0\.1:\d+)$`)
	if err := p.Until(30*time.Second, func() bool { return address.MatchString(p.Output()) }); err != nil {
		t.Fatal(err)
	}
	return address.FindStringSubmatch(p.Output())[1]
}

// The whole story of the examples, told by a browser: nobody is signed in; alice signs in at the provider's form; her
// token runs out and is renewed while the page is open; the API answers all the while; she signs out, and is out.
func TestTokenIsRenewedBehindThePage(t *testing.T) {
	for _, example := range []string{"bff", "echo"} {
		t.Run(example, func(t *testing.T) { testTokenIsRenewedBehindThePage(t, example) })
	}
}

func testTokenIsRenewedBehindThePage(t *testing.T, example string) {
	t.Helper()
	app := startExample(t, example, "-token-life", "5s")
	b := newChromium(t)
	b.follow(chromedp.Navigate(app))
	b.shoot(example + "-landing")

	b.follow(chromedp.Click(chromedp.CSS(`a[href="/login"]`)))
	if at := evaluate[string](b, "location.origin"); at == app {
		t.Fatalf("the sign-in page is at the application's own %s", at)
	}
	b.shoot(example + "-signin")
	b.do(
		chromedp.SendKeys(chromedp.ID("username"), "alice"),
		chromedp.SendKeys(chromedp.ID("password"), "alice"),
	)
	b.follow(chromedp.Click(chromedp.CSS("form button")))
	if at := evaluate[string](b, "location.href"); at != app+"/" {
		t.Fatalf("after signing in the browser is at %s", at)
	}
	if name := b.text("#name"); !strings.Contains(name, "Alice") {
		t.Errorf("signed in as %q", name)
	}

	first := b.text("#fingerprint")
	b.do(chromedp.Poll[chromedp.Void](`document.getElementById("fingerprint").textContent !== "`+first+`"`,
		chromedp.WithPollingInterval(50*time.Millisecond)))
	b.do(chromedp.Poll[chromedp.Void](`Number(document.getElementById("refreshes").textContent) >= 1`,
		chromedp.WithPollingInterval(50*time.Millisecond)))
	if rows := evaluate[int](b, `document.querySelectorAll("#orders tbody th").length`); rows == 0 {
		t.Error("the page shows no orders")
	}
	answered := b.text("#orders [role=status]")
	b.do(
		chromedp.Click(chromedp.CSS("#call button")), // with the renewed token
		chromedp.Poll[chromedp.Void](`document.querySelector("#orders [role=status]").textContent !== "`+answered+`"`,
			chromedp.WithPollingInterval(50*time.Millisecond)),
	)
	b.shoot(example + "-signed-in")
	checkNothingToSteal(t, b)

	b.follow(chromedp.Click(chromedp.CSS(`form[action="/logout"] button`)))
	b.do(chromedp.WaitVisible(chromedp.CSS(`a[href="/login"]`)))
	if at := evaluate[string](b, "location.href"); at != app+"/" {
		t.Errorf("after signing out the browser is at %s", at)
	}
	if status := evaluate[int](b, `fetch("/token-status").then((r) => r.status)`); status != 401 {
		t.Errorf("the token's status after signing out: %d, want 401", status)
	}
	for _, text := range b.complaints() {
		if !strings.Contains(text, "401") { // what was asked for just now
			t.Errorf("console: %s", text)
		}
	}
}

// checkNothingToSteal sees that a script of the page, however it came there, finds no token.
func checkNothingToSteal(t *testing.T, b *chromium) {
	t.Helper()
	if readable := evaluate[string](b, "document.cookie"); readable != "" {
		t.Errorf("scripts can read the cookies %q", readable)
	}
	if kept := evaluate[int](b, "localStorage.length + sessionStorage.length"); kept != 0 {
		t.Errorf("%d things are kept in the browser's storage", kept)
	}
	cookies, err := chromedp.Call(b.ctx, storage.GetCookies, storage.GetCookiesParams{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cookies.Cookies {
		if !c.HTTPOnly || c.SameSite == "None" {
			t.Errorf("cookie %s: HttpOnly %v, SameSite %q", c.Name, c.HTTPOnly, c.SameSite)
		}
		if strings.Contains(c.Value, "eyJ") {
			t.Errorf("cookie %s looks like a JWT", c.Name)
		}
	}
}
