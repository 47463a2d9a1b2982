package demo

import (
	"crypto/rand"
	"net/http"
	"sync"
	"time"

	"github.com/tokenwell/tokenwell/examples/internal/idp"
	"github.com/tokenwell/tokenwell/examples/internal/introspection"
	"github.com/tokenwell/tokenwell/examples/internal/orders"
)

// World is what any program would find around it: a provider that knows it, and an API.
type World struct {
	Issuer    string
	OrdersURL string // the directory of the orders API
	TokenLife time.Duration
	Provider  *idp.Provider // for what an administrator would see and do

	provider *server
	api      *server

	further []*server

	mu     sync.Mutex
	served map[string]int // by the orders API
}

// NewWorld reads the command line and starts a provider, which knows the clients, and the orders API. The caller calls
// Close.
func NewWorld(flags Flags, args []string, clients ...idp.Client) (*World, error) {
	if err := flags.parse(args); err != nil {
		return nil, err
	}
	return startWorld(*flags.life, clients)
}

func startWorld(life time.Duration, clients []idp.Client) (*World, error) {
	w := &World{TokenLife: life, served: map[string]int{}}
	if err := w.start(clients); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

func (w *World) start(clients []idp.Client) error {
	var err error
	if w.provider, err = newServer(); err != nil {
		return err
	}
	w.Issuer = w.provider.url
	if w.api, err = newServer(); err != nil {
		return err
	}
	w.OrdersURL = w.api.url + orders.Path

	api := idp.NewCredentials("orders-api")
	clients = append(clients, idp.Client{Credentials: api, Introspects: true})
	if w.Provider, err = idp.New(idp.Config{Issuer: w.Issuer, Clients: clients, TokenLife: w.TokenLife}); err != nil {
		return err
	}
	w.provider.start(w.Provider)
	w.api.start(orders.API{Provider: w.Introspection(api), Served: w.count}.Handler())
	return nil
}

// Introspection is how an API with these credentials asks the provider about tokens.
func (w *World) Introspection(api idp.Credentials) introspection.Endpoint {
	return introspection.Endpoint{URL: w.Issuer + "/oauth/introspect", ID: api.ID, Secret: api.Secret}
}

func (w *World) count(who introspection.Caller) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.served[who.String()]++
}

// Served says how many requests of that caller the orders API has answered.
func (w *World) Served(caller string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.served[caller]
}

// Serve serves a further API until Close, and returns its address.
func (w *World) Serve(h http.Handler) (url string, err error) {
	s, err := newServer()
	if err != nil {
		return "", err
	}
	s.start(h)
	w.further = append(w.further, s)
	return s.url, nil
}

// Close ends what was started.
func (w *World) Close() {
	for _, s := range w.further {
		s.stop()
	}
	w.api.stop()
	w.provider.stop()
}

// Key returns 32 random bytes: a new key for each start signs everybody out, which suits an example.
func Key() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return key
}
