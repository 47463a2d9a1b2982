// Command echo is the application of examples/bff on Echo, and shorter.
//
// What differs, beside the framework: the orders come through a typed client that is built once, at the start, and gets
// its user from each request's context.
//
//	go run ./examples/echo
package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/gorilla/sessions"
	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/echoadapter"
	"github.com/tokenwell/tokenwell/examples/internal/demo"
	"github.com/tokenwell/tokenwell/examples/internal/orders"
	"github.com/tokenwell/tokenwell/examples/internal/page"
)

func main() { demo.Main("echo", run) }

func run(ctx context.Context, args []string, stdout io.Writer) error {
	d, err := demo.Start("Echo", args) // the provider and the API
	if err != nil {
		return err
	}
	defer d.Close()

	m, err := core.New(ctx, core.Config{
		Issuer:       d.Issuer,
		ClientID:     d.ClientID,
		ClientSecret: d.ClientSecret,
		RedirectURL:  d.AppURL + "/callback",
		Scopes:       []string{"openid", "profile", "offline_access", orders.Scope},
		HTTPClients: map[string]core.HTTPClient{
			"orders": {BaseURL: d.OrdersURL, Token: core.UserToken()},
		},
	})
	if err != nil {
		return err
	}
	app := &application{d: d, m: m, orders: orders.NewClient(m.HTTPClient("orders")), watch: demo.Watch{Life: d.TokenLife}}

	e := echo.New()
	e.Use(middleware.Recover())
	store := sessions.NewCookieStore(demo.Key(), demo.Key())
	echoadapter.Mount(e, m, store, echoadapter.Options{SessionName: "echo-app"}) // over https: "__Host-app"
	e.GET("/", echoadapter.Handle(app.home))
	e.GET("/orders", echoadapter.Handle(app.list))
	e.GET("/token-status", echoadapter.Handle(app.status))
	e.GET(page.AssetPath+"*", echo.WrapHandler(page.Assets()))
	err = d.Serve(ctx, e, stdout)

	closing, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(err, m.Close(closing))
}

type application struct {
	d      *demo.Demo
	m      *core.Manager
	orders *orders.Client // for every user: whose orders it lists is in the context
	watch  demo.Watch
}

func (a *application) home(c *echoadapter.Context) error {
	user, err := c.User()
	if errors.Is(err, core.ErrLoginRequired) {
		return a.d.Site.Landing(c.Response())
	}
	if err != nil {
		return err
	}
	var who page.Person
	if err := user.Claims(&who); err != nil {
		return err
	}
	token, err := a.token(c)
	if err != nil {
		return err // the session has ended: off to the login and back
	}
	answer, err := a.answer(c)
	if err != nil {
		return err
	}
	return a.d.Site.Home(c.Response(), page.Home{Person: who, Token: token, Answer: answer})
}

func (a *application) list(c *echoadapter.Context) error {
	answer, err := a.answer(c)
	if err != nil {
		return err // 401: nobody is signed in
	}
	return a.d.Site.Orders(c.Response(), answer)
}

func (a *application) status(c *echoadapter.Context) error {
	token, err := a.token(c)
	if err != nil {
		return err
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	return c.JSON(http.StatusOK, token)
}

// token is for the page alone, which shows how long a token lives: the typed client finds its own.
func (a *application) token(c *echoadapter.Context) (page.Token, error) {
	tok, err := c.GetUserAccessToken()
	if err != nil {
		return page.Token{}, err
	}
	return a.watch.Describe(c, a.m, tok)
}

func (a *application) answer(c *echoadapter.Context) (page.Answer, error) {
	begin := time.Now()
	list, err := a.orders.List(c)
	return page.Answer{Orders: list, At: begin, Took: time.Since(begin)}, err
}
