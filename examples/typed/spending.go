package main

import (
	"context"
	"fmt"

	"github.com/tokenwell/tokenwell/examples/internal/orders"
)

// Spending is what the application is about: what somebody has spent, beside everybody else.
type Spending struct{ own, all *Orders }

// NewSpending takes one client for the orders of the context's user, and one for everybody's.
func NewSpending(own, all *Orders) *Spending { return &Spending{own: own, all: all} }

// Report is for ctx's user.
func (s *Spending) Report(ctx context.Context) ([]string, error) {
	own, err := s.own.List(ctx)
	if err != nil {
		return nil, err
	}
	all, err := s.all.List(ctx)
	if err != nil {
		return nil, err
	}
	return []string{
		fmt.Sprintf("You: %d orders, %s", len(own), total(own)),
		fmt.Sprintf("Everybody: %d orders, %s", len(all), total(all)),
	}, nil
}

func total(list []orders.Order) string {
	var sum orders.Order
	for _, o := range list {
		sum.Cents += o.Cents
	}
	return sum.Total()
}
