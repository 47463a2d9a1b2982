package chromium_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// chromium is one tab of a headless Chromium with a profile of its own. It resolves no name: pages that load something
// from elsewhere show that here.
type chromium struct {
	t      *testing.T
	ctx    context.Context
	faults <-chan string
}

func newChromium(t *testing.T) *chromium {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("the test of what users see needs Chromium: %v", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost"),
		chromedp.WSURLReadTimeout(time.Minute),
	)
	limit, stop := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(stop)
	allocator, closeBrowser := chromedp.NewExecAllocator(limit, options...)
	t.Cleanup(closeBrowser)
	ctx, closeTab := chromedp.NewContext(allocator)
	t.Cleanup(closeTab)

	faults := make(chan string, 100)
	b := &chromium{t: t, ctx: ctx, faults: faults}
	b.do(chromedp.Navigate("about:blank"))
	go func() {
		for m, err := range chromedp.Console(ctx) {
			if err != nil {
				return
			}
			if m.IsException() || m.Type == "error" {
				select {
				case faults <- fmt.Sprintf("%s: %s (%s)", m.Source, m.Text, m.URL):
				default:
				}
			}
		}
	}()
	return b
}

func (b *chromium) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// follow does something that leads to another page, and waits until it is there.
func (b *chromium) follow(step chromedp.Action[chromedp.Void]) *network.Response {
	b.t.Helper()
	resp, err := chromedp.RunResponse(b.ctx, step)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp
}

func (b *chromium) text(selector chromedp.CSS) string {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.TextContent(selector))
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

func evaluate[T any](b *chromium, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// complaints are the errors that pages wrote to the console: exceptions, refused resources, missing files.
func (b *chromium) complaints() []string {
	var all []string
	for {
		select {
		case text := <-b.faults:
			all = append(all, text)
		default:
			return all
		}
	}
}

var screens = []struct {
	name          string
	width, height int64
	mobile        bool
}{
	{"phone", 390, 844, true},
	{"desktop", 1280, 800, false},
}

// shoot writes a picture of the page for every screen and colour scheme, and sees that none has to be scrolled sideways.
func (b *chromium) shoot(stage string) {
	b.t.Helper()
	dir := filepath.Join("..", "artefacts")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	for _, screen := range screens {
		var options []chromedp.EmulateViewportOption
		if screen.mobile {
			options = append(options, chromedp.EmulateMobile, chromedp.EmulatePortrait, chromedp.EmulateScale(2))
		}
		b.do(chromedp.EmulateViewport(screen.width, screen.height, options...))
		for _, scheme := range []string{"light", "dark"} {
			b.prefer(scheme)
			name := fmt.Sprintf("%s-%s-%s.png", stage, screen.name, scheme)
			if wide := evaluate[int64](b, "document.documentElement.scrollWidth"); wide > screen.width {
				b.t.Errorf("%s: the page is %d pixels wide", name, wide)
			}
			picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
			if err != nil {
				b.t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), picture, 0o644); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}

func (b *chromium) prefer(scheme string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme},
			{Name: "prefers-reduced-motion", Value: "reduce"},
		},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.do(chromedp.Poll[chromedp.Void](fmt.Sprintf("matchMedia('(prefers-color-scheme: %s)').matches", scheme)))
	// A picture of a colour on its way to another is a picture of nothing.
	evaluate[int](b, `Promise.allSettled(document.getAnimations()
		.filter((a) => Number.isFinite(a.effect.getComputedTiming().endTime))
		.map((a) => a.finished)).then((all) => all.length)`)
}
