// Command bff is a web application on Gin whose browser never holds a token.
//
// It signs people in at an OpenID Provider, keeps their tokens on the server, and calls an API for them. The provider
// and the API run in the same process, so that there is nothing to set up:
//
//	go run ./examples/bff
package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-contrib/sessions/cookie"
	"github.com/gin-gonic/gin"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/examples/internal/demo"
	"github.com/tokenwell/tokenwell/examples/internal/orders"
	"github.com/tokenwell/tokenwell/examples/internal/page"
	"github.com/tokenwell/tokenwell/ginadapter"
)

func main() { demo.Main("bff", run) }

func run(ctx context.Context, args []string, stdout io.Writer) error {
	d, err := demo.Start("Gin", args) // the provider and the API
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
	err = d.Serve(ctx, routes(d, m), stdout)

	closing, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(err, m.Close(closing))
}

func routes(d *demo.Demo, m *core.Manager) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New() // Gin's own logger would write the callback's code into the log
	r.Use(gin.Recovery())
	r.Use(sessions.Sessions("gin-app", cookie.NewStore(demo.Key(), demo.Key()))) // over https: "__Host-app"
	ginadapter.Mount(r, m)                                                       // /login, /callback, /logout

	watch := &demo.Watch{Life: d.TokenLife}

	r.GET("/", ginadapter.Handle(func(c *ginadapter.Context) error {
		user, err := c.User()
		if errors.Is(err, core.ErrLoginRequired) {
			return d.Site.Landing(c.Writer)
		}
		if err != nil {
			return err
		}
		var who page.Person
		if err := user.Claims(&who); err != nil {
			return err
		}
		tok, err := c.GetUserAccessToken()
		if err != nil {
			return err // the session has ended: off to the login and back
		}
		token, err := watch.Describe(c, m, tok)
		if err != nil {
			return err
		}
		answer, err := callOrders(c)
		if err != nil {
			return err
		}
		return d.Site.Home(c.Writer, page.Home{Person: who, Token: token, Answer: answer})
	}))

	r.GET("/orders", ginadapter.Handle(func(c *ginadapter.Context) error {
		answer, err := callOrders(c)
		if err != nil {
			return err
		}
		return d.Site.Orders(c.Writer, answer)
	}))

	r.GET("/token-status", ginadapter.Handle(func(c *ginadapter.Context) error {
		tok, err := c.GetUserAccessToken()
		if err != nil {
			return err // nobody is signed in: 401 for the script
		}
		token, err := watch.Describe(c, m, tok)
		if err != nil {
			return err
		}
		c.Header("Cache-Control", "no-store")
		c.JSON(http.StatusOK, token)
		return nil
	}))

	r.GET(page.AssetPath+"*file", gin.WrapH(page.Assets()))
	return r
}

// callOrders asks the API by its name: the client knows its address, and brings the user's token.
func callOrders(c *ginadapter.Context) (page.Answer, error) {
	begin := time.Now()
	resp, err := c.HTTPClient("orders").Get("list")
	if err != nil {
		return page.Answer{}, err
	}
	list, err := orders.Decode(resp)
	return page.Answer{Orders: list, At: begin, Took: time.Since(begin)}, err
}
