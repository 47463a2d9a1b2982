package core

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
)

// keys derives the names under which one manager's things lie. All of them are
// under a digest of issuer and client, so that two managers can share a store and
// a browser session; what is secret enters a store key only as its digest, so
// that a dump of the store signs nobody in.
type keys struct {
	space  string
	ticket string // in the browser's session
	login  string // in the browser's session
}

func newKeys(issuer, clientID string) keys {
	space := digest(issuer, clientID)[:16]
	return keys{space: space, ticket: ticketKey(space), login: loginKey(space)}
}

// spacesKey is where a browser's session says which managers have a ticket in it.
const spacesKey = "tokenwell.spaces"

func ticketKey(space string) string { return "tokenwell." + space + ".ticket" }
func loginKey(space string) string  { return "tokenwell." + space + ".login" }

func (k keys) session(t Ticket) string     { return k.space + ":s:" + digest(string(t)) }
func (k keys) pending(state string) string { return k.space + ":l:" + digest(state) }
func (k keys) client(token string) string  { return k.space + ":c:" + token }
func (k keys) probe() string               { return k.space + ":ready" }

// digest is SHA-256 over its parts, each with its length before it where there
// are several, so that no two lists of parts read the same.
func digest(parts ...string) string {
	text := []byte(parts[0])
	if len(parts) > 1 {
		text = text[:0]
		for _, p := range parts {
			text = binary.BigEndian.AppendUint64(text, uint64(len(p)))
			text = append(text, p...)
		}
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// newSecret returns 256 random bits as text.
func newSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}
