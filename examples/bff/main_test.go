package main

import (
	"testing"

	"github.com/tokenwell/tokenwell/examples/internal/demo/demotest"
)

func TestExample(t *testing.T) { demotest.Test(t, run) }

func TestTokensRenewWhileSomebodyLooksOn(t *testing.T) { demotest.TestRenewal(t, run) }
