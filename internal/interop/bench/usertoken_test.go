package bench

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
	"github.com/tokenwell/tokenwell/store"
)

const sessions = 100_000

// BenchmarkUserToken is one token among 100,000 sessions in memory: of the same
// user each time, as in a handler that asks again, and of a random one. The peer
// for the first is one ReuseTokenSource, for the second one for each user, found
// in a sync.Map. "first" is the first call of a request, its context made anew.
func BenchmarkUserToken(b *testing.B) {
	m, tickets := signIn(b)
	contexts := make([]context.Context, sessions)
	for i, ticket := range tickets {
		contexts[i] = m.WithTicket(context.Background(), ticket)
		if _, err := m.GetUserAccessToken(contexts[i]); err != nil { // decoded now, not while the clock runs
			b.Fatal(err)
		}
	}
	var each sync.Map
	for _, ticket := range tickets {
		each.Store(ticket, reuse())
	}
	runtime.GC() // what building all this left behind is not what is measured

	b.Run("same/tokenwell", func(b *testing.B) {
		parallel(b, func(int) error {
			_, err := m.GetUserAccessToken(contexts[sessions/2])
			return err
		})
	})
	one := reuse()
	b.Run("same/oauth2", func(b *testing.B) {
		parallel(b, func(int) error {
			_, err := one.Token()
			return err
		})
	})
	b.Run("random/tokenwell", func(b *testing.B) {
		parallel(b, func(i int) error {
			_, err := m.GetUserAccessToken(contexts[i])
			return err
		})
	})
	b.Run("random/oauth2", func(b *testing.B) {
		parallel(b, func(i int) error {
			ts, _ := each.Load(tickets[i])
			_, err := ts.(oauth2.TokenSource).Token()
			return err
		})
	})
	b.Run("first/tokenwell", func(b *testing.B) {
		parallel(b, func(i int) error {
			_, err := m.GetUserAccessToken(m.WithTicket(context.Background(), tickets[i]))
			return err
		})
	})
}

func reuse() oauth2.TokenSource {
	return oauth2.ReuseTokenSource(&oauth2.Token{AccessToken: strings.Repeat("a", tokenSize), Expiry: time.Now().Add(time.Hour)}, nil)
}

func parallel(b *testing.B, token func(i int) error) {
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		rng := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
		for pb.Next() {
			if err := token(rng.IntN(sessions)); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// signIn signs one user in and puts copies of that login under 99,999 further
// tickets: as many real logins would take minutes.
func signIn(b *testing.B) (*core.Manager, []core.Ticket) {
	p := coretest.NewProvider(b, coretest.Options{AccessTokenSize: tokenSize})
	cfg := p.Config()
	cfg.Now = time.Now
	memory := store.NewMemory()
	recorded := &recorder{Store: memory}
	cfg.Store = recorded
	m := newManager(b, cfg)
	first, err := m.Ticket(coretest.SignedIn(b, m, "alice"))
	if err != nil {
		b.Fatal(err)
	}
	space := strings.TrimSuffix(recorded.key, digest(first))
	tickets := []core.Ticket{first}
	for i := 1; i < sessions; i++ {
		ticket := core.Ticket(fmt.Sprintf("%043d", i))
		value := []byte(string(recorded.value)) // each its own memory
		if rev, err := memory.Swap(b.Context(), space+digest(ticket), "", value, time.Hour); err != nil || rev == "" {
			b.Fatal("not stored", err)
		}
		tickets = append(tickets, ticket)
	}
	cfg.Store = memory // what is measured sees the bare store
	return newManager(b, cfg), tickets
}

func newManager(b *testing.B, cfg core.Config) *core.Manager {
	m, err := core.New(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = m.Close(context.Background()) })
	return m
}

func digest(ticket core.Ticket) string {
	sum := sha256.Sum256([]byte(ticket))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// recorder remembers the login that is created in it.
type recorder struct {
	store.Store
	key   string
	value []byte
}

func (r *recorder) Swap(ctx context.Context, key, rev string, value []byte, ttl time.Duration) (string, error) {
	if strings.Contains(key, ":s:") {
		r.key, r.value = key, value
	}
	return r.Store.Swap(ctx, key, rev, value, ttl)
}
