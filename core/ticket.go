package core

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
)

// Ticket is the right to act as a user for as long as that login lasts: what the
// browser's session holds. It is a secret. A job that outlives its request may be
// handed one, by [Manager.Ticket] and [Manager.WithTicket]; string(t) is its
// value for a queue, and everything else about it is redacted.
type Ticket string

const redacted = "[redacted]"

// Format implements fmt.Formatter without the secret.
func (t Ticket) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, "core.Ticket("+redacted+")") }

// LogValue implements slog.LogValuer without the secret.
func (t Ticket) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON implements json.Marshaler without the secret.
func (t Ticket) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }

// Ticket returns the ticket of the user who is signed in in ctx, to be handed to
// a job that acts for them later. It does not look whether the session still
// lives. Without a user it returns [ErrLoginRequired].
func (m *Manager) Ticket(ctx context.Context) (Ticket, error) {
	if m == nil {
		return "", ErrNoManager
	}
	b, _ := m.binding(ctx)
	if b == nil {
		return "", errNoTicket
	}
	if err := b.read(); err != nil {
		return "", err
	}
	return b.ticket, nil
}

// WithTicket returns a context in which m acts for the user whose ticket t is.
// Work done so is not browser activity: it does not extend an idle session. An
// empty ticket is nobody's.
func (m *Manager) WithTicket(ctx context.Context, t Ticket) context.Context {
	if m == nil {
		return ctx
	}
	b := &binding{m: m, outer: bindings(ctx), ticket: t}
	b.once.Do(func() {
		if t == "" {
			b.err = errNoTicket
			return
		}
		b.key = m.keys.session(t)
	})
	return context.WithValue(ctx, bindingKey{}, b)
}
