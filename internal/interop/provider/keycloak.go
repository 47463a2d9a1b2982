package provider

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/internal/interop/process"
)

// Keycloak is a Java program that takes half a minute to start: one serves all tests of a test binary.
var keycloak struct {
	once   sync.Once
	server *Server
	proc   *process.Process
	err    error
}

// StartKeycloak gives the test binary's Keycloak, with the realm of keycloak/realm.json and no events. The first call
// starts it, and fetches the distribution when it is missing. TestMain ends it with [StopKeycloak].
//
// Tests that use it do not run in parallel: they share its list of events.
func StartKeycloak(t testing.TB) *Server {
	t.Helper()
	keycloak.once.Do(func() {
		keycloak.server, keycloak.proc, keycloak.err = runKeycloak(t.Context(), t.Logf)
	})
	if keycloak.err != nil {
		t.Fatalf("keycloak: %v", keycloak.err)
	}
	keycloak.server.Forget(t)
	return keycloak.server
}

// StopKeycloak ends the Keycloak of this test binary, if one was started.
func StopKeycloak() {
	if keycloak.proc != nil {
		keycloak.proc.Stop()
	}
}

func runKeycloak(ctx context.Context, logf func(string, ...any)) (*Server, *process.Process, error) {
	begin := time.Now()
	home, err := installKeycloak(ctx, filepath.Join(moduleRoot(), "keycloak", "realm.json"))
	if err != nil {
		return nil, nil, fmt.Errorf("install: %w", err)
	}
	port, err := process.FreePort()
	if err != nil {
		return nil, nil, err
	}
	installed := time.Now()

	// The shell ends Keycloak when the tests are gone: its own standard input is theirs.
	cmd := exec.Command("/bin/sh", "-c", //nolint:gosec,noctx // of this file's own making; outlives the test that starts it
		`exec 3<&0; "$@" </dev/null & pid=$!; { read -r _; kill -KILL 0; } <&3 & wait $pid`, "sh",
		filepath.Join(home, "bin", "kc.sh"), "start", "--optimized",
		"--cache=local", "--http-enabled=true", "--hostname-strict=false",
		"--http-host=127.0.0.1", "--http-port="+port, "--import-realm", "--log-level=warn",
	)
	cmd.Env = keycloakEnv()
	p, err := process.Start(cmd)
	if err != nil {
		return nil, nil, err
	}
	s := &Server{
		Name:      "Keycloak " + keycloakVersion,
		Issuer:    "http://127.0.0.1:" + port + "/realms/tokenwell",
		Web:       Client{ID: "web", Secret: "web-secret"},
		API:       Client{ID: "api", Secret: "api-secret"},
		Users:     map[string]string{"alice": "wonderland", "bob": "builder"},
		AccessTTL: 4 * time.Second, // as the realm file says
		Scopes:    []string{"openid", "offline_access"},
	}
	base := "http://127.0.0.1:" + port
	admin := &keycloakAdmin{base: base}
	s.output, s.events, s.forget = p.Output, admin.events, admin.forget
	err = p.Until(2*time.Minute, func() bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Issuer+"/.well-known/openid-configuration", http.NoBody)
		return err == nil && do(req, nil) == nil
	})
	if err != nil {
		p.Stop()
		return nil, nil, err
	}
	logf("keycloak: installed after %v, up %v later", installed.Sub(begin).Round(time.Millisecond),
		time.Since(installed).Round(time.Millisecond))
	return s, p, nil
}

const adminName, adminPassword = "admin", "admin" // of a server on loopback, gone with the tests

func keycloakEnv() []string {
	return append(os.Environ(),
		"KC_BOOTSTRAP_ADMIN_USERNAME="+adminName, "KC_BOOTSTRAP_ADMIN_PASSWORD="+adminPassword,
		"JAVA_OPTS_KC_HEAP=-Xms64m -Xmx512m",
		"JAVA_OPTS_APPEND=-XX:TieredStopAtLevel=1", // it runs for a minute: starting fast is worth more than running fast
	)
}

// keycloakAdmin reads the realm's events, which are stored with the transaction that they tell of.
type keycloakAdmin struct{ base string }

func (a *keycloakAdmin) request(ctx context.Context, method string) (*http.Request, error) {
	var token struct {
		AccessToken string `json:"access_token"`
	}
	form := url.Values{
		"grant_type": {"password"}, "client_id": {"admin-cli"},
		"username": {adminName}, "password": {adminPassword},
	}
	err := postForm(ctx, a.base+"/realms/master/protocol/openid-connect/token", form, Client{}, &token)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+"/admin/realms/tokenwell/events?max=100000", http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token.AccessToken)
	return req, nil
}

func (a *keycloakAdmin) forget(ctx context.Context) error {
	req, err := a.request(ctx, http.MethodDelete)
	if err != nil {
		return err
	}
	return do(req, nil)
}

func (a *keycloakAdmin) events(ctx context.Context) ([]Event, error) {
	req, err := a.request(ctx, http.MethodGet)
	if err != nil {
		return nil, err
	}
	var raw []struct {
		Type, ClientID, Error string
		Details               map[string]string
	}
	if err := do(req, &raw); err != nil {
		return nil, err
	}
	events := make([]Event, len(raw))
	for i, r := range raw {
		e := Event{
			Kind: Other, Client: r.ClientID, RefreshToken: r.Details["refresh_token_id"],
			Error: r.Error, Detail: fmt.Sprint(r.Type, " ", r.Details),
		}
		switch strings.TrimSuffix(r.Type, "_ERROR") {
		case "REFRESH_TOKEN":
			e.Kind = Refresh
		case "REVOKE_GRANT":
			e.Kind = Revoked
		case "INTROSPECT_TOKEN":
			e.Kind = Introspection
		case "LOGOUT":
			e.Kind = LoggedOut
		}
		events[len(raw)-1-i] = e // the newest comes first
	}
	return events, nil
}
