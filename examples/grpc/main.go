// Command grpc calls a gRPC service over one connection in the name of whoever each call is for: the user of its context,
// or, where there is none, the application itself.
//
//	go run ./examples/grpc
package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/examples/internal/demo"
	"github.com/tokenwell/tokenwell/examples/internal/idp"
)

func main() { demo.Main("grpc", run) }

// scope is what a token needs to be let in to the gRPC service.
const scope = "greetings"

func run(ctx context.Context, args []string, stdout io.Writer) error {
	app, service := idp.NewCredentials("app"), idp.NewCredentials("greeter")
	w, err := demo.NewWorld(demo.NewFlags("grpc", demo.TokenLife), args, // the provider
		idp.Client{Credentials: app, Name: "the gRPC example", RedirectURL: demo.RedirectURL, OwnTokens: true, Scopes: []string{scope}},
		idp.Client{Credentials: service, Introspects: true},
	)
	if err != nil {
		return err
	}
	defer w.Close()
	s, err := startServer(w.Introspection(service))
	if err != nil {
		return err
	}
	defer s.stop()

	m, err := core.New(ctx, core.Config{
		Issuer:       w.Issuer,
		ClientID:     app.ID,
		ClientSecret: app.Secret,
		RedirectURL:  demo.RedirectURL,
		Scopes:       []string{"openid", "offline_access", scope},
		ClientScopes: []string{scope},
	})
	if err != nil {
		return err
	}
	caller := core.FirstOf(core.UserToken(), core.ClientToken())
	conn, err := grpc.NewClient(
		s.address,
		grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(s.roots, "")), // tokens travel over TLS only
		grpc.WithPerRPCCredentials(m.PerRPCCredentials(caller)),
		grpc.WithUnaryInterceptor(renewing(m, caller)),
	)
	if err == nil {
		c := &client{w: w, m: m, conn: conn, s: s, stdout: stdout}
		err = errors.Join(c.show(ctx), conn.Close())
	}
	return errors.Join(err, m.Close(context.WithoutCancel(ctx)))
}

// renewing tries a call that was refused once more, with a new token: what a named client does after a 401. gRPC tells an
// interceptor nothing of credentials that it could not get, but that the call is Unauthenticated; asking again gives the
// reason.
func renewing(m *core.Manager, r core.TokenRetriever) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		err := invoke(ctx, method, req, reply, cc, opts...)
		if status.Code(err) != codes.Unauthenticated {
			return err
		}
		if _, err := m.Token(ctx, r, core.WithForceRenewal()); err != nil {
			return err
		}
		return invoke(ctx, method, req, reply, cc, opts...)
	}
}

type client struct {
	w      *demo.World
	m      *core.Manager
	conn   *grpc.ClientConn
	s      *server
	stdout io.Writer
}

func (c *client) show(ctx context.Context) error {
	alice, err := c.w.SignIn(ctx, c.m, "alice")
	if err != nil {
		return err
	}
	c.greet(alice, "alice's context")
	c.greet(ctx, "nobody's context")

	c.w.Provider.EndAccessTokens("app")
	fmt.Fprintln(c.stdout, "The provider ends both access tokens.")
	c.greet(alice, "alice's context")
	c.greet(ctx, "nobody's context")
	fmt.Fprintf(c.stdout, "The service refused %d calls and answered %d, over %d connection.\n",
		c.s.refused.Load(), c.s.answered.Load(), c.s.connections.Load())

	if err := c.m.RevokeRefreshToken(alice); err != nil {
		return err
	}
	fmt.Fprintln(c.stdout, "Alice's login ends.")
	c.greet(alice, "alice's context")
	return context.Cause(ctx)
}

func (c *client) greet(ctx context.Context, whose string) {
	var greeting wrapperspb.StringValue
	err := c.conn.Invoke(ctx, greetMethod, &emptypb.Empty{}, &greeting)
	switch {
	case errors.Is(err, core.ErrLoginRequired):
		fmt.Fprintf(c.stdout, "%s: has to sign in\n", whose)
	case err != nil:
		fmt.Fprintf(c.stdout, "%s: %v\n", whose, err)
	default:
		fmt.Fprintf(c.stdout, "%s: %s\n", whose, greeting.Value)
	}
}
