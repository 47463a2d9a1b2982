package core

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/maypok86/otter/v2"
)

// Registration is a further OAuth client, for tokens of the application's own: at
// another provider, of a tenant, with another name. It does not print its
// secrets.
type Registration struct {
	// Issuer identifies its provider, whose token endpoint is discovered as that of
	// Config.Issuer is. Required unless TokenURL is given.
	Issuer string
	// TokenURL is the token endpoint of a provider without discovery.
	TokenURL string

	// ClientID is the client's name there. Required.
	ClientID string
	// ClientSecret is short for ClientAuth: SecretBasic(secret).
	ClientSecret string
	// ClientAuth is how the client authenticates; nil: as in Config.
	ClientAuth ClientAuth

	// Scopes, Resource and Params are asked for where a request says nothing else.
	Scopes   []string
	Resource string // RFC 8707
	Params   url.Values
}

// known reports whether r says anything at all.
func (r *Registration) known() bool {
	return r.Issuer != "" || r.TokenURL != "" || r.ClientID != ""
}

func (r *Registration) check(field string) error {
	switch {
	case r.ClientID == "":
		return configError("%s.ClientID is empty: it is the client's name at its provider", field)
	case r.Issuer == "" && r.TokenURL == "":
		return configError("%s.Issuer is empty: give the provider's issuer URL, or TokenURL", field)
	case r.ClientSecret != "" && r.ClientAuth != nil:
		return configError("%s.ClientSecret and ClientAuth are both set: a client authenticates in one way", field)
	}
	if r.Issuer != "" {
		if err := checkIssuer(field+".Issuer", r.Issuer); err != nil {
			return err
		}
	}
	if r.TokenURL != "" {
		if err := checkURL(field+".TokenURL", r.TokenURL); err != nil {
			return err
		}
	}
	if err := checkScopes(field+".Scopes", r.Scopes); err != nil {
		return err
	}
	return checkParams(r.Params, field+".Params")
}

func (r Registration) redacted() string {
	return fmt.Sprintf("core.Registration{Issuer:%q TokenURL:%q ClientID:%q Scopes:%v Resource:%q Params:%v}",
		r.Issuer, r.TokenURL, r.ClientID, r.Scopes, r.Resource, slices.Sorted(maps.Keys(r.Params)))
}

// Format implements fmt.Formatter without the secrets.
func (r Registration) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, r.redacted()) }

// LogValue implements slog.LogValuer, as Format does.
func (r Registration) LogValue() slog.Value { return slog.StringValue(r.redacted()) }

// MarshalJSON implements json.Marshaler, as Format does.
func (r Registration) MarshalJSON() ([]byte, error) { return json.Marshal(r.redacted()) }

const (
	// registrationFor is how long a registration that was found at run time is used
	// without another look.
	registrationFor = time.Minute
	// registrationMoment is how long a look is good even for a request in its name.
	registrationMoment = time.Second
	// registrationPatience is how long a caller waits for a look that it can do without.
	registrationPatience = 100 * time.Millisecond
	// registrationGrace is how long it serves, at most, while looks fail.
	registrationGrace = 5 * time.Minute
	// registrationRetry is when the next look comes after one that failed.
	registrationRetry = 5 * time.Second
	// cachedRegistrations bounds those found at run time.
	cachedRegistrations = 10_000
)

// foundClient is a client that Config.FindRegistration knew.
type foundClient struct {
	*oauthClient
	found  time.Time // when it was seen
	looked time.Time // when it was last looked for
	again  time.Time // when to look again

	failure error // it could not be looked up, and nothing is known of it
}

// serves reports whether what was found earlier serves while it cannot be looked up.
func (f *foundClient) serves(now time.Time) bool {
	return f != nil && f.failure == nil && now.Before(f.found.Add(registrationGrace))
}

// registrations are the clients beside the application itself.
type registrations struct {
	named map[string]*oauthClient
	found *otter.Cache[string, *foundClient]
}

func (m *Manager) newRegistrations() registrations {
	rs := registrations{
		named: make(map[string]*oauthClient, len(m.cfg.Registrations)),
		found: otter.Must(&otter.Options[string, *foundClient]{MaximumSize: cachedRegistrations}),
	}
	for name, r := range m.cfg.Registrations {
		rs.named[name] = newOAuthClient(name, r)
	}
	return rs
}

// client returns the OAuth client of that name; "" is the application itself.
func (m *Manager) client(ctx context.Context, name string) (actingClient, error) {
	if name == "" {
		if m.app.id == "" {
			return actingClient{}, configError("Config.ClientID is empty: name a registration, as with core.WithRegistration; %s", m.registrationNames())
		}
		return actingClient{m: m, oauthClient: m.app}, nil
	}
	if c := m.registrations.named[name]; c != nil {
		return actingClient{m: m, oauthClient: c}, nil
	}
	if m.cfg.FindRegistration == nil {
		return actingClient{}, m.noRegistration(name)
	}
	f, ok := m.registrations.found.GetIfPresent(name)
	switch now := m.now(); {
	case ok && now.Before(f.again):
		return actingClient{m: m, oauthClient: f.oauthClient, found: true}, f.failure
	case ok && f.serves(now):
		c, err := m.lookBriefly(ctx, name, f)
		return actingClient{m: m, oauthClient: c, found: true}, err
	}
	c, err := m.findClient(ctx, name, registrationMoment)
	return actingClient{m: m, oauthClient: c, found: true}, err
}

// lookBriefly looks a client up again, but where that takes long goes on with what it
// was: for a token that is at hand nobody waits for somebody else's database.
func (m *Manager) lookBriefly(ctx context.Context, name string, known *foundClient) (*oauthClient, error) {
	brief, cancel := context.WithTimeout(ctx, registrationPatience)
	defer cancel()
	c, err := m.findClient(brief, name, registrationMoment)
	if brief.Err() == nil || ctx.Err() != nil {
		return c, err
	}
	later := *known
	later.again = m.now().Add(registrationRetry)
	m.registrations.found.Set(name, &later)
	return known.oauthClient, nil
}

// findClient looks a client up, once for all who want it at that moment, unless that was
// done a moment ago.
func (m *Manager) findClient(ctx context.Context, name string, moment time.Duration) (*oauthClient, error) {
	found, err := m.share(ctx, opRegistration, "registration "+name, func(ctx context.Context) (any, error) {
		known, _ := m.registrations.found.GetIfPresent(name)
		now := m.now()
		if known != nil && now.Before(known.looked.Add(moment)) {
			return known.oauthClient, known.failure
		}
		r, err := m.cfg.FindRegistration(ctx, name)
		switch {
		case err != nil && known.serves(now):
			m.log.WarnContext(ctx, "tokenwell: a registration could not be looked up; what it was is used", "registration", name, "error", err)
			m.registrations.found.Set(name, &foundClient{known.oauthClient, known.found, now, now.Add(registrationRetry), nil})
			return known.oauthClient, nil
		case err != nil:
			err = &Error{Op: opRegistration, Registration: name, transient: true, Err: err}
			m.registrations.found.Set(name, &foundClient{looked: now, again: now.Add(registrationMoment), failure: err})
			return nil, err
		case !r.known():
			m.registrations.found.Invalidate(name)
			return nil, m.noRegistration(name)
		}
		if err := r.check(fmt.Sprintf("Registration %q", name)); err != nil {
			m.registrations.found.Invalidate(name)
			return nil, err
		}
		c := newOAuthClient(name, r)
		if known != nil && known.failure == nil && known.identity == c.identity {
			c = known.oauthClient
		}
		m.registrations.found.Set(name, &foundClient{c, now, now, now.Add(registrationFor), nil})
		return c, nil
	})
	if err != nil {
		return nil, err
	}
	return found.(*oauthClient), nil
}

// errRegistrationChanged says that a token would be asked for in the name of what a
// registration no longer is.
var errRegistrationChanged = errors.New("the registration has changed")

// actingClient is a client in whose name a token is got.
type actingClient struct {
	*oauthClient
	m     *Manager
	found bool // at run time
}

// verify looks whether the client is still what it was, unless that was done a moment
// ago.
func (c actingClient) verify(ctx context.Context, moment time.Duration) error {
	if !c.found {
		return nil
	}
	now, err := c.m.findClient(ctx, c.name, moment)
	if err == nil && now.identity != c.identity {
		return errRegistrationChanged
	}
	return err
}

// requestToken posts form to the token endpoint of the client, if it is still what it
// was: a registration that was found some time ago may have changed, and one that is
// refused a moment ago.
func (c actingClient) requestToken(ctx context.Context, op string, form url.Values) (*answer, error) {
	if err := c.verify(ctx, registrationMoment); err != nil {
		return nil, err
	}
	a, err := c.m.requestToken(ctx, c.oauthClient, op, form)
	var e *Error
	if errors.As(err, &e) && e.Code == "invalid_client" {
		if changed := c.verify(ctx, 0); errors.Is(changed, errRegistrationChanged) {
			return nil, changed
		}
	}
	return a, err
}

// asClient gets a token in the name of a client, and anew in the name of what it has
// become if get finds that it has changed.
func (m *Manager) asClient(ctx context.Context, name string, get func(actingClient) (*Token, error)) (*Token, error) {
	for range maxRounds {
		c, err := m.client(ctx, name)
		if err != nil {
			return nil, err
		}
		tok, err := get(c)
		if !errors.Is(err, errRegistrationChanged) {
			return tok, c.named(err)
		}
	}
	return nil, &Error{Op: opRegistration, Registration: name, transient: true, Err: errRegistrationChanged}
}

func (m *Manager) noRegistration(name string) error {
	return &Error{Op: opConfigure, Registration: name, Err: errors.New("no registration has this name; " + m.registrationNames())}
}

func (m *Manager) registrationNames() string {
	names := slices.Sorted(maps.Keys(m.registrations.named))
	switch {
	case len(names) > 0:
		return "there are " + strings.Join(names, ", ")
	case m.cfg.FindRegistration != nil:
		return "Config.Registrations is empty, and Config.FindRegistration knows none of this name"
	}
	return "Config.Registrations is empty"
}
