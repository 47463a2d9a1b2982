package provider

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/internal/interop/process"
)

// OIDCProviderOptions set up one npm oidc-provider. The zero value is strict and works for an application whose
// redirect URLs are filled in.
type OIDCProviderOptions struct {
	RedirectURLs           []string
	PostLogoutRedirectURLs []string
	AccessTTL              time.Duration // 0: four seconds; whole seconds
	RefreshTTL             time.Duration // 0: an hour
	TokenDelay             time.Duration // how long the token endpoint takes
	JWT                    bool          // access tokens are JWTs; else opaque, and introspection is the only way to check them
	RequirePAR             bool
	RequireDPoPNonce       bool
}

// StartOIDCProvider runs the npm oidc-provider on a free loopback port until the test ends. It installs its packages when
// they are missing.
func StartOIDCProvider(t testing.TB, o OIDCProviderOptions) *Server {
	t.Helper()
	dir := filepath.Join(moduleRoot(), "oidcprovider")
	if err := installOnce(t.Context(), dir); err != nil {
		t.Fatalf("oidc-provider: install: %v", err)
	}
	if o.AccessTTL == 0 {
		o.AccessTTL = 4 * time.Second
	}
	if o.RefreshTTL == 0 {
		o.RefreshTTL = time.Hour
	}
	s := &Server{
		Name:      "oidc-provider",
		Web:       Client{ID: "web", Secret: "web-secret"},
		API:       Client{ID: "api", Secret: "api-secret"},
		Users:     map[string]string{"alice": "wonderland", "bob": "builder"},
		AccessTTL: o.AccessTTL,
		Scopes:    []string{"openid", "offline_access", "orders"},
	}
	format := "opaque"
	if o.JWT {
		format = "jwt"
	}
	options, err := json.Marshal(map[string]any{
		"accessTokenTTL":         int(o.AccessTTL.Seconds()),
		"refreshTokenTTL":        int(o.RefreshTTL.Seconds()),
		"tokenDelay":             o.TokenDelay.Milliseconds(),
		"redirectURIs":           orLoopback(o.RedirectURLs),
		"postLogoutRedirectURIs": orLoopback(o.PostLogoutRedirectURLs),
		"accessTokenFormat":      format,
		"requirePAR":             o.RequirePAR,
		"requireDPoPNonce":       o.RequireDPoPNonce,
		"users":                  s.Users,
	})
	if err != nil {
		t.Fatal(err)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatalf("oidc-provider needs Node.js 20 or later: %v", err)
	}
	cmd := exec.Command(node, "server.mjs") //nolint:gosec,noctx // the Node.js of the PATH; Stop ends it, with its group
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "OIDC_PROVIDER_OPTIONS="+string(options))
	p, err := process.Start(cmd)
	if err != nil {
		t.Fatalf("oidc-provider: %v", err)
	}
	t.Cleanup(p.Stop)
	err = p.Until(time.Minute, func() bool {
		s.Issuer = readyLine(p.Output())
		return s.Issuer != ""
	})
	if err != nil {
		t.Fatal(err)
	}
	s.output, s.events, s.forget = p.Output, s.nodeEvents, s.nodeForget
	return s
}

func orLoopback(urls []string) []string {
	if len(urls) == 0 {
		return []string{"http://127.0.0.1/"}
	}
	return urls
}

func readyLine(output string) string {
	for line := range strings.Lines(output) {
		var ready struct{ Ready string }
		if json.Unmarshal([]byte(line), &ready) == nil && ready.Ready != "" {
			return ready.Ready
		}
	}
	return ""
}

func (s *Server) nodeEvents(ctx context.Context) ([]Event, error) {
	var raw []struct {
		Kind, Client, GrantType, Scope, RefreshToken, Issued, Error, Detail string
		Resource                                                            []string
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Issuer+"/-/events", http.NoBody)
	if err != nil {
		return nil, err
	}
	if err := do(req, &raw); err != nil {
		return nil, err
	}
	events := make([]Event, 0, len(raw))
	for _, r := range raw {
		e := Event{
			Kind: Other, Client: r.Client, RefreshToken: r.RefreshToken,
			Error: r.Error, Detail: r.Kind + " " + r.Detail,
		}
		switch r.Kind {
		case "grant.success", "grant.error":
			e.Grant, e.Scope, e.Resource, e.Issued = r.GrantType, r.Scope, r.Resource, r.Issued
			if r.GrantType == "refresh_token" {
				e.Kind = Refresh
			}
		case "revocation":
			e.Kind = Revoked
		case "grant.revoked":
			e.Kind = GrantRevoked
		case "introspection":
			e.Kind = Introspection
		case "end_session.success":
			e.Kind = LoggedOut
		}
		events = append(events, e)
	}
	return events, nil
}

func (s *Server) nodeForget(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, s.Issuer+"/-/events", http.NoBody)
	if err != nil {
		return err
	}
	return do(req, nil)
}

var installing sync.Mutex

// installOnce runs npm ci unless what it would install is there already.
func installOnce(ctx context.Context, dir string) error {
	installing.Lock()
	defer installing.Unlock()
	if _, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json")); err == nil {
		return nil
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.Join(err, errors.New(string(out)))
	}
	return nil
}

// moduleRoot is the directory above this package's: a test's working directory is its own package's.
func moduleRoot() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(file))
}
