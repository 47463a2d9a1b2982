// Package demo sets the stage for an example: it starts a provider and a protected API on loopback, in this process,
// so that the example itself is about Tokenwell and nothing else.
package demo

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/tokenwell/tokenwell/examples/internal/idp"
	"github.com/tokenwell/tokenwell/examples/internal/orders"
	"github.com/tokenwell/tokenwell/examples/internal/page"
)

// usualAddr is where the application listens unless it is told otherwise or somebody else is there.
const usualAddr = "127.0.0.1:8080"

// Demo is what a web application would find around it: the World, and an address of its own.
type Demo struct {
	*World
	AppURL       string // http://127.0.0.1:8080
	ClientID     string
	ClientSecret string
	Site         page.Site

	listener net.Listener // the application's, open so that nobody takes the port
}

// Start reads the command line and starts the provider and the API. The caller calls Close.
func Start(framework string, args []string) (*Demo, error) {
	return StartWith(NewFlags(strings.ToLower(framework), TokenLife), framework, args)
}

// StartWith is Start for a program that has flags of its own.
func StartWith(flags Flags, framework string, args []string) (*Demo, error) {
	addr := flags.String("addr", "", "the application's `address`, on loopback (default "+usualAddr+", or a free port when that is taken)")
	if err := flags.parse(args); err != nil {
		return nil, err
	}
	l, err := listen(*addr)
	if err != nil {
		return nil, err
	}
	d := &Demo{AppURL: "http://" + l.Addr().String(), listener: l}
	app := idp.NewCredentials("example")
	d.ClientID, d.ClientSecret = app.ID, app.Secret
	d.World, err = startWorld(*flags.life, []idp.Client{{
		Credentials: app,
		Name:        "Tokenwell’s " + framework + " example",
		RedirectURL: d.AppURL + "/callback",
		LoggedOut:   d.AppURL + "/",
		Scopes:      []string{orders.Scope, orders.ScopeAll},
		OwnTokens:   true,
	}})
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	d.Site = page.Site{
		Framework: framework, TokenLife: d.TokenLife,
		Application: d.AppURL, Provider: d.Issuer, API: d.api.url,
	}
	return d, nil
}

// Close ends what Start started.
func (d *Demo) Close() {
	d.World.Close()
	_ = d.listener.Close()
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
