package orders

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/tokenwell/tokenwell/examples/internal/introspection"
)

// Path is the directory below which the API lives.
const Path = "/orders/"

// API is the protected API.
type API struct {
	Provider introspection.Endpoint
	// Served is told of each caller who got an answer; nil: nobody is.
	Served func(introspection.Caller)
}

// What a person ordered under their name, and a company under that of its OAuth client.
var book = map[string][]Order{
	"alice": {
		{ID: "A-2041", Item: "Stoneware mug, set of two", Placed: "2026-03-02", Status: "on its way", Cents: 3400},
		{ID: "A-1987", Item: "Linen tea towels", Placed: "2026-02-17", Status: "delivered", Cents: 2250},
		{ID: "A-1902", Item: "Copper watering can", Placed: "2026-01-28", Status: "delivered", Cents: 5895},
		{ID: "A-1856", Item: "Beeswax candles, dozen", Placed: "2026-01-09", Status: "delivered", Cents: 1980},
	},
	"bob": {
		{ID: "B-2044", Item: "Cast-iron skillet", Placed: "2026-03-03", Status: "packing", Cents: 6400},
		{ID: "B-1911", Item: "Walnut chopping board", Placed: "2026-01-30", Status: "delivered", Cents: 4750},
	},
	"acme": {
		{ID: "C-2039", Item: "Desk lamp, six", Placed: "2026-03-01", Status: "on its way", Cents: 41400},
	},
	"globex": {
		{ID: "C-2042", Item: "Oak shelf, two", Placed: "2026-03-02", Status: "packing", Cents: 37800},
		{ID: "C-1990", Item: "Door mat", Placed: "2026-02-18", Status: "delivered", Cents: 3250},
	},
}

// Handler serves the caller's list to whoever has a token with Scope, and with ScopeAll everybody's.
func (a API) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+Path+"list", a.Provider.Protect(Scope, func(w http.ResponseWriter, _ *http.Request, who introspection.Caller) {
		if a.Served != nil {
			a.Served(who)
		}
		introspection.Answer(w, http.StatusOK, listFor(who))
	}))
	return mux
}

func listFor(who introspection.Caller) []Order {
	list := []Order{}
	for owner, theirs := range book {
		own := owner == who.Username || who.Username == "" && owner == who.Client
		if own || who.May(ScopeAll) {
			list = append(list, theirs...)
		}
	}
	slices.SortFunc(list, func(a, b Order) int { return cmp.Compare(b.Placed, a.Placed) }) // the latest first
	return list
}
