package core_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

func TestX(t *testing.T) {
	p := coretest.NewProvider(t, coretest.Options{Algorithm: "ES256"})
	synctest.Test(t, func(t *testing.T) {
		r := refreshRigAt(t, p, func(c *core.Config) {
			c.Backchannel = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		})
		u := r.signIn("alice")
		p.Advance(untilExpiry)
		start := time.Now()
		r.get(u)
		t.Log(time.Since(start))
		time.Sleep(time.Hour)
		r.get(u)
		r.wantRefreshes(1)
	})
}
