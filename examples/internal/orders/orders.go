// Package orders is the API that the examples call, and how they read its answers. It runs on an address of its own and
// asks the provider about every token it is shown.
package orders

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

const (
	// Scope is what a token needs to be let in.
	Scope = "orders"
	// ScopeAll is what it needs besides to see everybody's orders.
	ScopeAll = "orders.all"
)

// Order is one line of the list.
type Order struct {
	ID     string `json:"id"`
	Item   string `json:"item"`
	Placed string `json:"placed"` // as 2006-01-02
	Status string `json:"status"` // delivered, on its way, packing
	Cents  int    `json:"cents"`
}

// Total is the price as people write it.
func (o Order) Total() string { return fmt.Sprintf("€%d.%02d", o.Cents/100, o.Cents%100) }

// Client is a typed client: it knows the API's paths, and its *http.Client brings the address and the token.
type Client struct{ http *http.Client }

// NewClient keeps the named client that it is given.
func NewClient(c *http.Client) *Client { return &Client{http: c} }

// List returns the orders of ctx's user.
func (c *Client) List(ctx context.Context) ([]Order, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "list", nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	return Decode(resp)
}

// Decode reads the list from an answer and closes it.
func Decode(resp *http.Response) ([]Order, error) {
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the orders API answered %s", resp.Status)
	}
	var list []Order
	err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&list)
	return list, err
}
