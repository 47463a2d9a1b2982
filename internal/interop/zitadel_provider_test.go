package interop_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/tokenwell/tokenwell/internal/interop/provider"
)

// zitadel is the example provider of zitadel/oidc in this process: its OP, its storage and its login form. It notes each
// form that comes to its token endpoint.
type zitadel struct {
	issuer string
	web    provider.Client // signs users in and exchanges their tokens; its secret needs the encoding of RFC 6749
	api    provider.Client // introspects; tokens are good there if it is in their audience
	worker provider.Client // client credentials
	robot  *robot          // assertions

	mu      sync.Mutex
	arrived []url.Values
}

const (
	zitadelAdmin    = "test-user@127.0.0.1" // id1, whose token may be exchanged
	zitadelUser     = "test-user2"          // id2, whose may not
	zitadelPassword = "verysecure"
)

func startZitadel(t *testing.T, callback string) *zitadel {
	t.Helper()
	z := &zitadel{
		web:    provider.Client{ID: "web", Secret: "a:b%+ü c"},
		api:    provider.Client{ID: "api", Secret: "api-secret"},
		worker: provider.Client{ID: "sid1", Secret: "verysecret"},
	}
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	z.issuer = srv.URL
	z.robot = newRobot(t, z)

	// It logs each request by slog's default, and a logger given to it would become that of the whole process.
	level := slog.SetLogLoggerLevel(slog.LevelWarn)
	t.Cleanup(func() { slog.SetLogLoggerLevel(level) })
	op := exampleop.SetupServer(z.issuer, z.storage(callback), nil, false)
	mux.HandleFunc("POST /oauth/token", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		z.mu.Lock()
		z.arrived = append(z.arrived, r.PostForm)
		z.mu.Unlock()
		op.ServeHTTP(w, r)
	})
	mux.Handle("/", op)
	return z
}

// requests returns the forms of one grant type that came to the token endpoint, in order.
func (z *zitadel) requests(grantType oidc.GrantType) []url.Values {
	z.mu.Lock()
	defer z.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(z.arrived), func(form url.Values) bool { return form.Get("grant_type") != string(grantType) })
}

func (z *zitadel) storage(callback string) exampleop.Storage {
	users := zitadelUsers{storage.NewUserStore(z.issuer), []string{z.worker.ID, z.robot.id}}
	return &zitadelStorage{z: z, Storage: storage.NewStorageWithClients(users, map[string]*storage.Client{
		z.web.ID: storage.WebClient(z.web.ID, z.web.Secret, callback),
		z.api.ID: storage.WebClient(z.api.ID, z.api.Secret, callback),
	})}
}

// zitadelStorage adds to the example's storage what it lacks for these tests.
type zitadelStorage struct {
	*storage.Storage
	z *zitadel
}

// ClientCredentialsTokenRequest makes the tokens of clients good at the API: there is no parameter to ask for it.
func (s *zitadelStorage) ClientCredentialsTokenRequest(ctx context.Context, clientID string, scopes []string) (op.TokenRequest, error) {
	req, err := s.Storage.ClientCredentialsTokenRequest(ctx, clientID, scopes)
	if err != nil {
		return nil, err
	}
	return &oidc.JWTTokenRequest{Subject: req.GetSubject(), Audience: []string{s.z.api.ID}, Scopes: scopes}, nil
}

// GetKeyByIDAndClientID knows the robot's key. The private half of the key that the example knows is not in its packages.
func (s *zitadelStorage) GetKeyByIDAndClientID(_ context.Context, keyID, clientID string) (*jose.JSONWebKey, error) {
	if clientID != s.z.robot.id || keyID != s.z.robot.keyID {
		return nil, errors.New("no such key")
	}
	return &jose.JSONWebKey{KeyID: keyID, Use: "sig", Key: s.z.robot.key.Public()}, nil
}

// zitadelUsers knows programs besides people: the example introspects, and exchanges, only tokens of users that it knows.
type zitadelUsers struct {
	storage.UserStore
	programs []string
}

func (u zitadelUsers) GetUserByID(id string) *storage.User {
	if slices.Contains(u.programs, id) {
		return &storage.User{ID: id, IsAdmin: true}
	}
	return u.UserStore.GetUserByID(id)
}

// robot is a program that shows who it is by assertions (RFC 7523).
type robot struct {
	id, keyID string
	key       *ecdsa.PrivateKey
	audience  []string
}

func newRobot(t *testing.T, z *zitadel) *robot {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &robot{id: "robot", keyID: "key1", key: key, audience: []string{z.issuer, z.api.ID}}
}

// assertion is a new one each time, good for a minute.
func (r *robot) assertion() (string, error) {
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: r.key, KeyID: r.keyID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	now := time.Now()
	return jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: r.id, Subject: r.id, Audience: r.audience, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Minute)),
	}).Serialize()
}
