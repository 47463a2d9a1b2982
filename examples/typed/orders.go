package main

import (
	"context"
	"net/http"

	"github.com/tokenwell/tokenwell/examples/internal/orders"
)

// Orders is a typed client of the orders API. It knows the API's paths and answers; its *http.Client knows the address and
// brings the token.
type Orders struct{ http *http.Client }

// NewOrders keeps the client that it is given.
func NewOrders(c *http.Client) *Orders { return &Orders{http: c} }

// List returns the orders that the token gives access to: those of ctx's user, where it is a user's.
func (o *Orders) List(ctx context.Context) ([]orders.Order, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "list", nil)
	if err != nil {
		return nil, err
	}
	resp, err := o.http.Do(req)
	if err != nil {
		return nil, err
	}
	return orders.Decode(resp)
}
