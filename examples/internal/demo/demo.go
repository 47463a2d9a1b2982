// Package demo sets the stage for an example: it starts a provider and a protected API on loopback, in this process,
// so that the example itself is about Tokenwell and nothing else.
package demo

import (
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/tokenwell/tokenwell/examples/internal/idp"
	"github.com/tokenwell/tokenwell/examples/internal/orders"
	"github.com/tokenwell/tokenwell/examples/internal/page"
)

// usualAddr is where the application listens unless it is told otherwise or somebody else is there.
const usualAddr = "127.0.0.1:8080"

// Demo is what an application would find around it: a provider that knows it, an API, and an address of its own.
type Demo struct {
	AppURL       string // http://127.0.0.1:8080
	OrdersURL    string // the directory of the orders API
	Issuer       string
	ClientID     string
	ClientSecret string
	TokenLife    time.Duration // of the provider's access tokens
	Site         page.Site

	listener net.Listener // the application's, open so that nobody takes the port
	provider *server
	api      *server
}

// Start reads the command line and starts the provider and the API. The caller calls Close.
func Start(framework string, args []string) (*Demo, error) {
	flags := flag.NewFlagSet(strings.ToLower(framework), flag.ContinueOnError)
	addr := flags.String("addr", "", "the application's `address`, on loopback (default "+usualAddr+", or a free port when that is taken)")
	life := flags.Duration("token-life", 20*time.Second, "how long an access token lives")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if *life < time.Second {
		return nil, errors.New("-token-life must be a second or more")
	}
	d := &Demo{ClientID: "example", ClientSecret: rand.Text(), TokenLife: *life}
	if err := d.start(framework, *addr); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func (d *Demo) start(framework, addr string) error {
	var err error
	if d.listener, err = listen(addr); err != nil {
		return err
	}
	d.AppURL = "http://" + d.listener.Addr().String()
	if d.provider, err = newServer(); err != nil {
		return err
	}
	d.Issuer = d.provider.url
	api := idp.Credentials{ID: "orders-api", Secret: rand.Text()}
	provider, err := idp.New(idp.Config{
		Issuer: d.Issuer,
		Client: idp.Client{
			Credentials: idp.Credentials{ID: d.ClientID, Secret: d.ClientSecret},
			Name:        "Tokenwell’s " + framework + " example",
			RedirectURL: d.AppURL + "/callback",
			LoggedOut:   d.AppURL + "/",
			Scopes:      []string{orders.Scope},
		},
		API:       api,
		TokenLife: d.TokenLife,
	})
	if err != nil {
		return err
	}
	d.provider.start(provider)

	if d.api, err = newServer(); err != nil {
		return err
	}
	d.OrdersURL = d.api.url + orders.Path
	d.api.start(orders.API{Introspection: d.Issuer + "/oauth/introspect", ID: api.ID, Secret: api.Secret}.Handler())

	d.Site = page.Site{
		Framework: framework, TokenLife: d.TokenLife,
		Application: d.AppURL, Provider: d.Issuer, API: d.api.url,
	}
	return nil
}

// Close ends what Start started.
func (d *Demo) Close() {
	d.api.stop()
	d.provider.stop()
	if d.listener != nil {
		_ = d.listener.Close()
	}
}

// Key returns 32 random bytes: a new key for each start signs everybody out, which suits an example.
func Key() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return key
}

// listen refuses addresses that others could reach: the pages are served without TLS.
func listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", orUsual(addr))
	if addr == "" && errors.Is(err, syscall.EADDRINUSE) {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, err
	}
	if at, ok := l.Addr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() {
		_ = l.Close()
		return nil, fmt.Errorf("-addr %s is not on loopback, and this example speaks plain http", addr)
	}
	return l, nil
}

func orUsual(addr string) string {
	if addr == "" {
		return usualAddr
	}
	return addr
}
