package orders_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/examples/internal/introspection"
	"github.com/tokenwell/tokenwell/examples/internal/orders"
)

// newAPI asks a provider that knows the token "good", and "narrow" without the scope.
func newAPI(t *testing.T) *httptest.Server {
	t.Helper()
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id, secret, _ := r.BasicAuth(); id != "api" || secret != "s" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		scope := map[string]string{"good": "openid orders", "narrow": "openid"}[r.FormValue("token")]
		_, _ = fmt.Fprintf(w, `{"active":%t,"username":"bob","scope":%q}`, scope != "", scope)
	}))
	t.Cleanup(provider.Close)
	api := httptest.NewServer(orders.API{Provider: introspection.Endpoint{URL: provider.URL, ID: "api", Secret: "s"}}.Handler())
	t.Cleanup(api.Close)
	return api
}

func get(t *testing.T, api *httptest.Server, authorization string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.URL+orders.Path+"list", nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := api.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func TestOnlyALivingTokenWithTheScopeIsLetIn(t *testing.T) {
	api := newAPI(t)
	for authorization, want := range map[string]int{
		"":              http.StatusUnauthorized,
		"Basic good":    http.StatusUnauthorized,
		"Bearer ":       http.StatusUnauthorized,
		"Bearer bad":    http.StatusUnauthorized,
		"Bearer narrow": http.StatusForbidden,
		"Bearer good":   http.StatusOK,
	} {
		resp := get(t, api, authorization)
		if resp.StatusCode != want {
			t.Errorf("Authorization %q: %d, want %d", authorization, resp.StatusCode, want)
		}
		if challenged := resp.Header.Get("WWW-Authenticate") != ""; challenged != (want != http.StatusOK) {
			t.Errorf("Authorization %q: challenged %t", authorization, challenged)
		}
	}
}

func TestListIsTheUsersOwn(t *testing.T) {
	list, err := orders.Decode(get(t, newAPI(t), "Bearer good"))
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]string, 0, len(list))
	for _, o := range list {
		ids = append(ids, o.ID)
	}
	if diff := cmp.Diff([]string{"B-2044", "B-1911"}, ids); diff != "" {
		t.Error(diff)
	}
}
