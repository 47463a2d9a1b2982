package model

// Config is a world to look through: all that there is in it, and all that can happen.
type Config struct {
	Rules     Rules
	Processes int
	Slots     int  // kinds of access tokens that are asked for
	Tokens    life // of each of them, to begin with
	Limits

	Provider   Provider
	RevokesAll bool // revoking one refresh token ends the grant
	SlowKeys   bool // it takes its time to hand out the keys of its ID tokens
	Prompt     bool // an answer that is on its way arrives within a tick
	Forgives   bool // not even what no client can prevent may cost the session

	Outages    []mode
	CachedPeek bool // Peek answers while the Store does not
	ShortTime  bool // a flight may run out of time in the middle of a send
}

// Provider is how the token endpoint treats refresh tokens.
type Provider uint8

// The kinds of providers.
const (
	Strict      Provider = iota // each is good once; a second use ends the grant
	Lenient                     // each is good once; a second use is refused
	Grace                       // the one before the newest is answered as it was the first time
	NonRotating                 // there is one
)

// Limits says how often things happen: at most, and in a State how often they still
// may.
type Limits struct {
	Ages        uint8 // time passes until access tokens that were fresh are in their early window, and those that were have expired
	Touches     uint8
	Logouts     uint8
	TakeOuts    uint8 // RevokeRefreshToken
	Kills       uint8
	LostAnswers uint8 // and lost requests
	Errors      uint8 // of the provider, which leaves the refresh token alone
	Failures    uint8 // of single operations of the Store, carried out or not
	Outages     uint8 // of the Store, for everybody
	Stops       uint8 // ticks that pass a process by
}

func (c *Config) start() State {
	s := State{left: c.Limits, rec: record{there: true, renewable: true}}
	for i := range c.Slots {
		s.rec.tokens[i] = c.Tokens
	}
	return s
}
