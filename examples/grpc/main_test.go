package main

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOneConnectionServesEachCallByItsContext(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), nil, &out); err != nil {
		t.Fatal(err)
	}
	want := `alice's context: hello, alice
nobody's context: hello, app
The provider ends both access tokens.
alice's context: hello, alice
nobody's context: hello, app
The service refused 2 calls and answered 4, over 1 connection.
Alice's login ends.
alice's context: has to sign in
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}
