package interop_test

import (
	"os"
	"testing"

	"github.com/tokenwell/tokenwell/internal/interop/provider"
)

func TestMain(m *testing.M) {
	code := m.Run()
	provider.StopKeycloak()
	os.Exit(code)
}

func startOIDCProvider(t *testing.T, app string) *provider.Server {
	t.Helper()
	return provider.StartOIDCProvider(t, provider.OIDCProviderOptions{
		RedirectURLs:           []string{app + "/callback"},
		PostLogoutRedirectURLs: []string{app + "/"},
	})
}

func startKeycloak(t *testing.T, _ string) *provider.Server {
	t.Helper()
	return provider.StartKeycloak(t)
}

func TestOIDCProviderRotatesEachRefreshTokenOnce(t *testing.T) {
	testRotatesEachRefreshTokenOnce(t, startOIDCProvider)
}

func TestKeycloakRotatesEachRefreshTokenOnce(t *testing.T) {
	testRotatesEachRefreshTokenOnce(t, startKeycloak)
}

func TestOIDCProviderSeesOneRefreshForHundredRequests(t *testing.T) {
	testOneRefreshForHundredRequests(t, startOIDCProvider)
}

func TestKeycloakSeesOneRefreshForHundredRequests(t *testing.T) {
	testOneRefreshForHundredRequests(t, startKeycloak)
}

func TestOIDCProviderHundredRefusalsRenewOnce(t *testing.T) {
	testHundredRefusalsRenewOnce(t, startOIDCProvider)
}

func TestKeycloakHundredRefusalsRenewOnce(t *testing.T) {
	testHundredRefusalsRenewOnce(t, startKeycloak)
}

func TestOIDCProviderReuseEndsTheSession(t *testing.T) {
	testReuseEndsTheSession(t, startOIDCProvider)
}

func TestKeycloakReuseEndsTheSession(t *testing.T) {
	testReuseEndsTheSession(t, startKeycloak)
}

func TestOIDCProviderLogoutEndsEverything(t *testing.T) {
	testLogoutEndsEverything(t, startOIDCProvider)
}

func TestKeycloakLogoutEndsEverything(t *testing.T) {
	testLogoutEndsEverything(t, startKeycloak)
}

func TestOIDCProviderKeepsUsersApart(t *testing.T) {
	testKeepsUsersApart(t, startOIDCProvider)
}

func TestKeycloakKeepsUsersApart(t *testing.T) {
	testKeepsUsersApart(t, startKeycloak)
}
