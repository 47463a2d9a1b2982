package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEachTenantHasATokenOfItsOwnAndAChangedSecretNeedsNoRestart(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), nil, &out); err != nil {
		t.Fatal(err)
	}
	want := `"acme": orders placed: 1
  token requests so far: 1
"globex": orders placed: 2
  token requests so far: 2
"acme": orders placed: 1
  token requests so far: 2
acme's secret is changed, at the provider and in the database.
"acme": orders placed: 1
  token requests so far: 4
"globex": orders placed: 2
  token requests so far: 4
`
	shown, unknown, _ := strings.Cut(out.String(), `"initech"`)
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Error(diff)
	}
	for _, want := range []string{"no registration has this name", `"": the request is for no tenant`} {
		if !strings.Contains(unknown, want) {
			t.Errorf("no %q in %s", want, unknown)
		}
	}
	if n := strings.Count(unknown, "token requests so far: 4\n"); n != 2 {
		t.Errorf("the provider was asked for a tenant that there is not: %s", unknown)
	}
}
