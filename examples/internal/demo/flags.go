package demo

import (
	"errors"
	"flag"
	"time"
)

// TokenLife is how long an access token lives unless the command line says otherwise: long enough to look at, and short
// enough to see it renewed.
const TokenLife = 20 * time.Second

// Flags are those of an example, which always has -token-life.
type Flags struct {
	*flag.FlagSet
	life *time.Duration
}

// NewFlags returns the flags of the program of that name, in which tokens live for as long unless it is told otherwise.
func NewFlags(name string, life time.Duration) Flags {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	return Flags{flags, flags.Duration("token-life", life, "how long an access token lives")}
}

func (f Flags) parse(args []string) error {
	if err := f.Parse(args); err != nil {
		return err
	}
	if *f.life < time.Second {
		return errors.New("-token-life must be a second or more")
	}
	return nil
}
