package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/auth"
	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/tokenwell/tokenwell/core"
)

const clientID, clientSecret = "worker", "worker-secret"

// endpoint is a token endpoint, the same for everybody. It takes its time, and answers 503 while it is down.
type endpoint struct {
	url      string
	client   *http.Client
	latency  time.Duration
	life     time.Duration // of its tokens
	down     atomic.Bool
	ahead    atomic.Int64  // nanoseconds by which Tokenwell's clock is ahead
	requests atomic.Int64  // that came
	early    atomic.Int64  // those that came before quiet was over
	quiet    atomic.Int64  // until when, in Unix nanoseconds, backoff has promised to send none
	arrival  chan struct{} // has room for one, and is filled by each request
}

func newEndpoint(b *testing.B, latency, life time.Duration) *endpoint {
	e := &endpoint{latency: latency, life: life, arrival: make(chan struct{}, 1)}
	srv := httptest.NewServer(e)
	b.Cleanup(srv.Close)
	e.url, e.client = srv.URL+"/token", srv.Client()
	return e
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if time.Now().UnixNano() < e.quiet.Load() {
		e.early.Add(1)
	}
	e.requests.Add(1)
	select {
	case e.arrival <- struct{}{}:
	default:
	}
	select {
	case <-time.After(e.latency):
	case <-r.Context().Done():
		return
	}
	if e.down.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":%d}`, strings.Repeat("a", tokenSize), int(e.life.Seconds()))
}

// asking returns once there is a token or an error. Where ctx does not reach it goes on without.
type asking func(ctx context.Context) error

// contender opens a source with nothing in it. It renews a token when less than early of its life is left, and gives up
// what it does when end does, as far as it can be told.
type contender struct {
	name string
	open func(b *testing.B, end context.Context, e *endpoint, early time.Duration) asking
}

var contenders = []contender{
	{"tokenwell", openTokenwell}, {"oauth2", openOAuth2}, {"google", openGoogle}, {"aws", openAWS},
}

// openTokenwell has no use for early, which here is never more than a fifth of a token's life: its clock goes ahead
// instead.
func openTokenwell(b *testing.B, _ context.Context, e *endpoint, early time.Duration) asking {
	cfg := core.Config{
		Endpoints: &core.Endpoints{Token: e.url}, ClientID: clientID, ClientSecret: clientSecret,
		Backchannel: e.client, Logger: slog.New(slog.DiscardHandler),
	}
	if early > 0 {
		cfg.Now = func() time.Time { return time.Now().Add(time.Duration(e.ahead.Load())) }
	}
	m := newManager(b, cfg)
	return func(ctx context.Context) error {
		_, err := m.GetClientAccessToken(ctx)
		return err
	}
}

func openOAuth2(_ *testing.B, end context.Context, e *endpoint, early time.Duration) asking {
	c := &clientcredentials.Config{
		ClientID: clientID, ClientSecret: clientSecret, TokenURL: e.url,
		AuthStyle: oauth2.AuthStyleInHeader, // else each failure is two requests
	}
	end = context.WithValue(end, oauth2.HTTPClient, e.client)
	ts := oauth2.ReuseTokenSourceWithExpiry(nil, sourceFunc(func() (*oauth2.Token, error) { return c.Token(end) }), early)
	return func(context.Context) error {
		_, err := ts.Token()
		return err
	}
}

type sourceFunc func() (*oauth2.Token, error)

func (f sourceFunc) Token() (*oauth2.Token, error) { return f() }

func openGoogle(_ *testing.B, _ context.Context, e *endpoint, early time.Duration) asking {
	p := auth.NewCachedTokenProvider(googleProvider{e}, &auth.CachedTokenProviderOptions{ExpireEarly: early})
	return func(ctx context.Context) error {
		_, err := p.Token(ctx)
		return err
	}
}

type googleProvider struct{ *endpoint }

func (p googleProvider) Token(ctx context.Context) (*auth.Token, error) {
	value, expiry, err := p.post(ctx)
	if err != nil {
		return nil, err
	}
	return &auth.Token{Value: value, Type: "Bearer", Expiry: expiry}, nil
}

func openAWS(_ *testing.B, _ context.Context, e *endpoint, early time.Duration) asking {
	c := aws.NewCredentialsCache(&awsProvider{endpoint: e}, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = early })
	return func(ctx context.Context) error {
		_, err := c.Retrieve(ctx)
		return err
	}
}

type awsProvider struct {
	*endpoint
	mu   sync.Mutex
	last aws.Credentials
}

func (p *awsProvider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	value, expiry, err := p.post(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = aws.Credentials{AccessKeyID: "token", SecretAccessKey: value, CanExpire: true, Expires: expiry}
	return p.last, nil
}

// HandleFailToRefresh serves the last credentials while they live; without it the failure would be served.
func (p *awsProvider) HandleFailToRefresh(_ context.Context, _ aws.Credentials, err error) (aws.Credentials, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last.HasKeys() && !p.last.Expired() {
		return p.last, nil
	}
	return aws.Credentials{}, err
}

// post asks for a token by client credentials, for the caches that bring no such request with them.
func (e *endpoint) post(ctx context.Context) (token string, expiry time.Time, err error) {
	form := strings.NewReader(url.Values{"grant_type": {"client_credentials"}}.Encode())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, form)
	if err != nil {
		return "", time.Time{}, err
	}
	r.SetBasicAuth(clientID, clientSecret)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	asked := time.Now()
	resp, err := e.client.Do(r)
	if err != nil {
		return "", time.Time{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", time.Time{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return "", time.Time{}, fmt.Errorf("token endpoint: %s", resp.Status)
	}
	var answer struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", time.Time{}, err
	}
	return answer.AccessToken, asked.Add(time.Duration(answer.ExpiresIn) * time.Second), nil
}
