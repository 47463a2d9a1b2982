package main

import (
	"context"
	"sync"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/examples/internal/idp"
	"github.com/tokenwell/tokenwell/examples/internal/orders"
)

// database stands for where the tenants are kept.
type database struct {
	issuer string // of all of them here; each could have its own

	mu      sync.Mutex
	tenants map[string]idp.Credentials
}

// find is Config.FindRegistration. A tenant that there is not is a zero Registration; an error would say that the database
// could not be asked.
func (db *database) find(_ context.Context, tenant string) (core.Registration, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	client, ok := db.tenants[tenant]
	if !ok {
		return core.Registration{}, nil
	}
	return core.Registration{
		Issuer:       db.issuer,
		ClientID:     client.ID,
		ClientSecret: client.Secret,
		Scopes:       []string{orders.Scope},
	}, nil
}

func (db *database) put(tenant idp.Credentials) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.tenants == nil {
		db.tenants = map[string]idp.Credentials{}
	}
	db.tenants[tenant.ID] = tenant
}
