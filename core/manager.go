package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"github.com/tokenwell/tokenwell/store"
)

// Manager keeps the tokens of one OAuth client alive: those of its users, and the
// named clients that carry them. Make one with [New], for the life of the program,
// and [Manager.Close] it at its end. It is safe for concurrent use and holds
// nothing of a user: who is meant comes with each call's context.
//
// The methods of a nil *Manager that can fail answer with [ErrNoManager], but for
// Close, which has nothing to do.
type Manager struct {
	cfg       Config
	keys      keys
	store     store.Store
	memory    bool               // store is this process's memory
	peeker    store.UnlessPeeker // store, if it is one
	storeSaid atomic.Int64       // when it was last said to have failed, from sinceStart on
	log       *slog.Logger
	http      backchannel // to the provider

	discovery     discovery
	flights       singleflight.Group
	locks         keyLocks
	pacing        pacing
	unsaved       unsavedGrants
	logins        *otter.Cache[string, *login] // decoded records
	refused       *otter.Cache[string, *Error] // by digest of a refresh token
	ended         *otter.Cache[string, bool]   // sessions that the Store no longer has, by key
	app           *oauthClient                 // the application itself
	registrations registrations
	discoveries   *otter.Cache[string, *discovery] // of registrations, by issuer
	tokens        *otter.Cache[string, *heldToken] // that belong to no login
	clients       map[string]*namedClient
	transport     http.RoundTripper // of named clients that bring none

	life   context.Context // of background work
	stop   context.CancelFunc
	mu     sync.Mutex
	closed bool
	work   sync.WaitGroup
}

const (
	// cachedLogins bounds the decoded records in memory; a login beyond it costs a
	// decoding for each request.
	cachedLogins  = 131_072
	cachedRefused = 10_000
	// cachedTokens bounds the tokens that belong to no login; one beyond it is asked
	// for again, or found in the Store.
	cachedTokens = 131_072
	// tokensIdle is how long such a token stays without being asked for.
	tokensIdle        = time.Hour
	cachedDiscoveries = 1_000
	// loginsIdle is how long a decoded record stays without being asked for.
	loginsIdle = 15 * time.Minute
	// closeGrace is for what does not heed the end of its context at once, such as a
	// hook of the application's.
	closeGrace = time.Second
)

var errClosed = &Error{Op: opConfigure, transient: true, Err: errors.New("the manager is closed")}

// New returns a manager for cfg. It fails when cfg is wrong, naming the field, and
// when the provider's metadata is not what it must be. A provider that is down is
// no failure: it is asked again on first use, with growing pauses, and
// [Manager.Ready] tells when it has been reached. ctx bounds the call alone.
func New(ctx context.Context, cfg Config) (*Manager, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	life, stop := context.WithCancel(context.Background())
	m := &Manager{
		cfg:    cfg,
		keys:   newKeys(cfg.space(), cfg.ClientID),
		store:  cfg.Store,
		memory: inMemory(cfg.Store),
		peeker: unlessPeeker(cfg.Store),
		log:    cfg.Logger,
		http:   newBackchannel(cfg.Backchannel, cfg.MaxAnswer),
		pacing: newPacing(),
		logins: otter.Must(&otter.Options[string, *login]{
			MaximumSize:      cachedLogins,
			ExpiryCalculator: otter.ExpiryAccessing[string, *login](loginsIdle),
		}),
		refused: otter.Must(&otter.Options[string, *Error]{MaximumSize: cachedRefused}),
		ended: otter.Must(&otter.Options[string, bool]{
			MaximumSize:      cachedLogins,
			ExpiryCalculator: otter.ExpiryWriting[string, bool](2 * unsavedFor),
		}),
		tokens: otter.Must(&otter.Options[string, *heldToken]{
			MaximumSize:      cachedTokens,
			ExpiryCalculator: otter.ExpiryAccessing[string, *heldToken](tokensIdle),
		}),
		discoveries: otter.Must(&otter.Options[string, *discovery]{MaximumSize: cachedDiscoveries}),
		discovery: discovery{
			issuer: cfg.Issuer, endpoints: cfg.Endpoints, logins: cfg.RedirectURL != "", clientID: cfg.ClientID,
		},
		life: life,
		stop: stop,
	}
	m.app = m.application()
	m.registrations = m.newRegistrations()
	m.nameClients()
	if !m.hasProvider() {
		return m, nil
	}
	_, err := m.provider(ctx)
	var e *Error
	switch {
	case err == nil:
	case errors.As(err, &e) && e.Temporary():
		m.log.WarnContext(ctx, "tokenwell: the provider cannot be reached yet", "issuer", cfg.Issuer, "error", err)
	default:
		_ = m.Close(ctx)
		return nil, err
	}
	return m, nil
}

func inMemory(s store.Store) bool {
	_, ok := s.(*store.Memory)
	return ok
}

func unlessPeeker(s store.Store) store.UnlessPeeker {
	u, _ := s.(store.UnlessPeeker)
	return u
}

// Manager returns m: a *Manager is the [ManagerSource] of a program with one.
func (m *Manager) Manager(*http.Request) (*Manager, error) {
	if m == nil {
		return nil, ErrNoManager
	}
	return m, nil
}

// hasProvider reports whether the application itself has a provider: one that only
// has registrations need not.
func (m *Manager) hasProvider() bool { return m.cfg.Issuer != "" || m.cfg.Endpoints != nil }

// Ready reports whether the provider has been discovered and the store answers, for
// readiness probes. Those of registrations are discovered on first use, and are not
// part of it.
func (m *Manager) Ready(ctx context.Context) error {
	if m == nil {
		return ErrNoManager
	}
	if m.hasProvider() {
		if _, err := m.provider(ctx); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if _, _, err := m.store.Load(ctx, m.keys.probe()); err != nil {
		return storeError(err)
	}
	return nil
}

// Close ends background work: refreshes under way are finished, and results that
// the store has not taken yet are written, for as long as ctx lasts. After that
// they are given up, and ctx's error is returned. Tokens that are alive are still
// served; nothing is renewed any more. Close may be called more than once.
func (m *Manager) Close(ctx context.Context) error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()

	done := make(chan struct{})
	go func() {
		m.work.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	m.stop()
	select { // what is left sees its context end
	case <-done:
	case <-time.After(closeGrace):
	}
	m.logins.StopAllGoroutines()
	m.tokens.StopAllGoroutines()
	m.ended.StopAllGoroutines()
	if m.http.own {
		m.http.CloseIdleConnections()
	}
	if c, ok := m.transport.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
	return err
}

// begin counts a piece of background work, unless the manager is closed; end
// counts it off.
func (m *Manager) begin() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.work.Add(1)
	return true
}

func (m *Manager) end() { m.work.Done() }

func (m *Manager) now() time.Time { return m.cfg.Now() }

// Format implements fmt.Formatter without the secrets that a Manager holds.
func (m *Manager) Format(f fmt.State, _ rune) {
	if m == nil {
		_, _ = fmt.Fprint(f, "core.Manager(nil)")
		return
	}
	_, _ = fmt.Fprintf(f, "core.Manager{Issuer:%q ClientID:%q}", m.cfg.Issuer, m.cfg.ClientID)
}
