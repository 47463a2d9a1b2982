// Command jobs is a web application whose handler hands work to a background worker. The worker acts for the user when
// the request has long ended: it is handed a ticket, and never a token. A sign-out ends that too.
//
//	go run ./examples/jobs
package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
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

func main() { demo.Main("jobs", run) }

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := demo.NewFlags("jobs", 5*time.Second)
	steps := flags.Int("steps", 6, "how often a job asks the orders API")
	pause := flags.Duration("pause", 2*time.Second, "how long it waits in between")
	d, err := demo.StartWith(flags, "jobs", args) // the provider and the API
	if err != nil {
		return err
	}
	defer d.Close()
	d.Site.Lead = "Sign in and start a job. It goes on when you have closed the page, with tokens that are renewed for it, until it is done or you sign out."

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
	w := &worker{
		m: m, orders: orders.NewClient(m.HTTPClient("orders")), steps: *steps, pause: *pause,
		queue: make(chan job, 16), told: &told{stdout: stdout, lines: map[string][]string{}},
	}
	working, stop := context.WithCancel(ctx)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() { w.run(working) })
	}
	err = d.Serve(ctx, routes(d, m, w), stdout)
	stop()
	workers.Wait()

	closing, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(err, m.Close(closing))
}

func routes(d *demo.Demo, m *core.Manager, w *worker) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New() // Gin's own logger would write the callback's code into the log
	r.Use(gin.Recovery())
	r.Use(sessions.Sessions("jobs-app", cookie.NewStore(demo.Key(), demo.Key()))) // over https: "__Host-app"
	ginadapter.Mount(r, m)

	r.POST("/jobs", ginadapter.Handle(func(c *ginadapter.Context) error {
		user, err := c.User()
		if err != nil {
			return err
		}
		ticket, err := m.Ticket(c)
		if err != nil {
			return err
		}
		w.told.tell(user, "a job is queued, and the request ends")
		select {
		case w.queue <- job{ticket: ticket, user: user}:
		case <-c.Done():
			return c.Err()
		}
		c.Redirect(http.StatusSeeOther, "/")
		return nil
	}))

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
		return d.Site.Notes(c.Writer, page.Notes{
			Person: who, Title: "Your jobs", Notes: w.told.about(user), Action: "/jobs", Press: "Start a job",
		})
	}))

	r.GET(page.AssetPath+"*file", gin.WrapH(page.Assets()))
	return http.NewCrossOriginProtection().Handler(r)
}
