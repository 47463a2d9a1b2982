package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/tokenwell/tokenwell/examples/internal/introspection"
)

// server is a gRPC service that greets its callers by name.
type server struct {
	address string
	roots   *x509.CertPool // what a client trusts it by

	provider introspection.Endpoint
	grpc     *grpc.Server

	refused, answered, connections atomic.Int32
}

func startServer(provider introspection.Endpoint) (*server, error) {
	cert, roots, err := selfSigned()
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{address: l.Addr().String(), roots: roots, provider: provider}
	s.grpc = grpc.NewServer(
		grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13})),
		grpc.UnaryInterceptor(s.check),
		grpc.StatsHandler(counter{&s.connections}),
	)
	s.grpc.RegisterService(&greeter, nil)
	go func() { _ = s.grpc.Serve(l) }() // until stop
	return s, nil
}

func (s *server) stop() { s.grpc.Stop() }

type callerKey struct{}

// check lets in whoever has a living token with the scope.
func (s *server) check(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	who, err := s.provider.Ask(ctx, first(metadata.ValueFromIncomingContext(ctx, "authorization")))
	switch {
	case errors.Is(err, introspection.ErrInactive):
		s.refused.Add(1)
		return nil, status.Error(codes.Unauthenticated, "the token is not alive")
	case err != nil:
		return nil, status.Error(codes.Unavailable, "the provider cannot be asked")
	case !who.May(scope):
		return nil, status.Error(codes.PermissionDenied, "the token is not for this service")
	}
	s.answered.Add(1)
	return handle(context.WithValue(ctx, callerKey{}, who), req)
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

const greetMethod = "/examples.Greeter/Greet"

// greeter is what protoc would make of: rpc Greet(google.protobuf.Empty) returns (google.protobuf.StringValue).
var greeter = grpc.ServiceDesc{
	ServiceName: "examples.Greeter",
	Methods: []grpc.MethodDesc{{
		MethodName: "Greet",
		Handler: func(_ any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
			var asked emptypb.Empty
			if err := decode(&asked); err != nil {
				return nil, err
			}
			return intercept(ctx, &asked, &grpc.UnaryServerInfo{FullMethod: greetMethod}, greet)
		},
	}},
}

func greet(ctx context.Context, _ any) (any, error) {
	who, _ := ctx.Value(callerKey{}).(introspection.Caller)
	return wrapperspb.String("hello, " + who.String()), nil
}

// counter counts connections.
type counter struct{ connections *atomic.Int32 }

func (c counter) HandleConn(_ context.Context, s stats.ConnStats) {
	if _, ok := s.(*stats.ConnBegin); ok {
		c.connections.Add(1)
	}
}

func (counter) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (counter) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (counter) HandleRPC(context.Context, stats.RPCStats)                         {}
