package model

import "strings"

// Rules are what the protocol consists of. Each can be taken away, to see what it is
// there for.
type Rules uint32

// The rules.
const (
	Claim      Rules = 1 << iota // nothing is sent without a claim
	FreshClaim                   // nothing is sent under a claim that was written claimWait/2 ago or earlier
	SameClaim                    // after a write that failed only the very claim that was to be written is ours, not an earlier beat of it
	TakeOver                     // a claim whose owner does not renew it is taken over,
	OwnClock                     // once it has stood for claimWait on the clock of whoever waits,
	WatchStore                   // during which no look into the Store has failed or been slow,
	LookOften                    // of which there is one in each claimWait/4, whatever Peek says
	TimeBefore                   // who takes over gives the former owner time to save before it sends,
	TimeAfter                    // and once more when the refresh token is refused
	Renew                        // the owner renews its claim while it waits for the provider,
	CheckClaim                   // and while it checks the ID token
	OwnTime                      // what has been sent is waited for, however little time its flight has left
	NoResend                     // what was sent and not answered is not sent again while an access token lives,
	Doubt                        // nor what something else answered in the provider's place

	MergeAgain     // a result that lost to another write is merged into that
	SaveSwap       // a result replaces the state into which it was merged, and creates none
	KeepNewer      // a newer access token is left where it is
	KeepLoser      // the refresh token of a result that came second is not revoked
	RevokeObtained // the refresh token of a result that finds no session is

	Look         // an unsaved result is served only after a look into the Store, or one that failed
	RememberEnd  // who knows that a session is over serves nothing of it, whatever becomes of the Store
	LogoutSwap   // Logout deletes the state that it read, and no other
	RevokeUnsure // who cannot tell whether the refresh token is out of the Store revokes it

	end

	// All rules together.
	All = end - 1

	// Kept are those that core keeps, as far as ticks can tell. It gives a former owner more
	// than half a second before it sends, which is shorter than one of them but longer than
	// that owner pauses between two tries to save; and of what answers in the provider's
	// place it takes a gateway's 502 and 504 for no answer.
	Kept = All &^ (TimeBefore | Doubt)
)

var ruleNames = [...]string{
	"Claim", "FreshClaim", "SameClaim", "TakeOver", "OwnClock", "WatchStore", "LookOften", "TimeBefore", "TimeAfter", "Renew", "CheckClaim", "OwnTime", "NoResend", "Doubt",
	"MergeAgain", "SaveSwap", "KeepNewer", "KeepLoser", "RevokeObtained",
	"Look", "RememberEnd", "LogoutSwap", "RevokeUnsure",
}

// String returns the names of the rules in r.
func (r Rules) String() string {
	var names []string
	for i, name := range ruleNames {
		if r.has(1 << i) {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

func (r Rules) has(rule Rules) bool { return r&rule != 0 }
