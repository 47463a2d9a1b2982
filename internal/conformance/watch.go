package conformance

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/tokenwell/tokenwell/core/coretest"
	"github.com/tokenwell/tokenwell/store"
)

// watch looks at every answer of the application, in every test: at the attributes
// of its cookies, and for what no browser may see.
func (a *app) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := &bodyWatch{ResponseWriter: w}
		next.ServeHTTP(body, r)
		for _, c := range (&http.Response{Header: w.Header()}).Cookies() {
			if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || !c.Secure || c.Domain != "" || c.Partitioned {
				a.Errorf("%s %s: a cookie with other attributes than it must have: %s", r.Method, r.URL.Path, redactedCookie(c))
			}
			if c.Name != a.f.Cookie {
				a.Errorf("%s %s: a cookie called %s", r.Method, r.URL.Path, c.Name)
			}
			if secret := a.secretIn(unwrapped(c.Value)); secret != "" {
				a.Errorf("%s %s: the cookie holds %s", r.Method, r.URL.Path, secret)
			}
		}
		shown := body.text()
		for name, values := range w.Header() {
			if name != "Set-Cookie" {
				shown += strings.Join(values, "\n")
			}
		}
		// This one goes to the provider by way of the browser.
		shown = idTokenHint.ReplaceAllString(shown, "")
		if secret := a.secretIn(shown); secret != "" {
			a.Errorf("%s %s: the answer holds %s", r.Method, r.URL.Path, secret)
		}
	})
}

var (
	idTokenHint = regexp.MustCompile(`id_token_hint=[^&" \\]+`)
	jwt         = regexp.MustCompile(`eyJ[\w-]{8,}\.[\w-]{8,}\.`)
)

func redactedCookie(c *http.Cookie) string {
	shown := *c
	shown.Value = "…"
	return shown.String()
}

// secretIn names the secret that text holds, if it holds one.
func (a *app) secretIn(text string) string {
	for _, prefix := range []string{"at_", "rt_", "code_"} {
		// What the provider issues is one of these and 26 letters and digits.
		for rest := text; ; {
			_, after, found := strings.Cut(rest, prefix)
			if !found {
				break
			}
			if len(after) >= 26 && strings.Trim(after[:26], "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == "" {
				return "what looks like " + prefix + "…"
			}
			rest = after
		}
	}
	if jwt.MatchString(text) {
		return "what looks like a JWT"
	}
	if secret := a.p.Config().ClientSecret; secret != "" && strings.Contains(text, secret) {
		return "the client's secret"
	}
	for _, r := range a.p.Requests(coretest.TokenEndpoint) {
		if verifier := r.Form.Get("code_verifier"); verifier != "" && strings.Contains(text, verifier) {
			return "a code_verifier"
		}
	}
	return ""
}

// unwrapped returns value and what is found in it by undoing base64, as often as
// that can be done.
func unwrapped(value string) string {
	all := value
	for range 3 {
		if text, err := url.QueryUnescape(value); err == nil {
			value = text
		}
		decoded, err := base64.URLEncoding.DecodeString(value)
		if err != nil {
			decoded, err = base64.RawURLEncoding.DecodeString(value)
		}
		if err != nil {
			break
		}
		// A signed cookie is date|value|signature.
		parts := strings.SplitN(string(decoded), "|", 3)
		value = parts[min(1, len(parts)-1)]
		all += "\n" + string(decoded)
	}
	return all
}

// bodyWatch keeps the beginning of an answer.
type bodyWatch struct {
	http.ResponseWriter
	mu   sync.Mutex
	kept []byte
}

func (w *bodyWatch) Write(p []byte) (int, error) {
	w.mu.Lock()
	w.kept = append(w.kept, p[:min(len(p), max(0, 1<<16-len(w.kept)))]...)
	w.mu.Unlock()
	return w.ResponseWriter.Write(p)
}

func (w *bodyWatch) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *bodyWatch) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.kept)
}

// watchedStore is a store in memory that knows what it holds and fails when it is
// told to.
type watchedStore struct {
	*store.Memory
	mu   sync.Mutex
	live map[string]bool // the keys that are there
	err  error
}

func newWatchedStore() *watchedStore {
	return &watchedStore{Memory: store.NewMemory(), live: map[string]bool{}}
}

// fail makes every operation fail; nil heals the store.
func (s *watchedStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *watchedStore) fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// sessions returns how many logins there are.
func (s *watchedStore) sessions() int { return s.count(":s:") }

// pending returns how many logins are under way.
func (s *watchedStore) pending() int { return s.count(":l:") }

func (s *watchedStore) count(kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for key := range s.live {
		if strings.Contains(key, kind) {
			n++
		}
	}
	return n
}

func (s *watchedStore) Load(ctx context.Context, key string) ([]byte, string, error) {
	if err := s.fault(); err != nil {
		return nil, "", err
	}
	return s.Memory.Load(ctx, key)
}

func (s *watchedStore) Peek(ctx context.Context, key string) ([]byte, string, error) {
	if err := s.fault(); err != nil {
		return nil, "", err
	}
	return s.Memory.Peek(ctx, key)
}

func (s *watchedStore) Swap(ctx context.Context, key, rev string, value []byte, ttl time.Duration) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return "", s.err
	}
	newRev, err := s.Memory.Swap(ctx, key, rev, value, ttl)
	if newRev != "" {
		s.live[key] = true
	}
	return newRev, err
}

func (s *watchedStore) Delete(ctx context.Context, key, rev string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return false, s.err
	}
	deleted, err := s.Memory.Delete(ctx, key, rev)
	if deleted {
		delete(s.live, key)
	}
	return deleted, err
}
