package page

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"time"
)

// Token is what a browser may know about an access token: how long it lives, and a fingerprint to tell it from the next.
type Token struct {
	ExpiresIn   float64 `json:"expires_in"` // seconds
	Lifetime    float64 `json:"lifetime"`   // seconds, when it was new
	Refreshes   int     `json:"refreshes"`
	Fingerprint string  `json:"fingerprint"`
}

// Describe reads off what may be shown.
func Describe(accessToken string, expiry time.Time, life time.Duration, refreshes int) Token {
	left := min(max(time.Until(expiry), 0), life)
	return Token{
		ExpiresIn:   math.Round(left.Seconds()*10) / 10,
		Lifetime:    life.Seconds(),
		Refreshes:   refreshes,
		Fingerprint: Fingerprint(accessToken),
	}
}

// Fingerprint is the first six hexadecimal digits of the token's SHA-256: enough to see a change, and no way back.
func Fingerprint(accessToken string) string {
	sum := sha256.Sum256([]byte(accessToken))
	return hex.EncodeToString(sum[:3])
}

// Seconds and Percent are for the template.
func (t Token) Seconds() int { return int(math.Ceil(t.ExpiresIn)) }

// Percent is the share of the life that is left.
func (t Token) Percent() float64 { return math.Round(1000*t.ExpiresIn/t.Lifetime) / 10 }
