package redisstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/redis/rueidis"

	"github.com/tokenwell/tokenwell/store"
	"github.com/tokenwell/tokenwell/store/redisstore"
)

// Nobody listens where these would connect to, so they fail before that.
func TestNewRefusesWhatIsNotAConfiguration(t *testing.T) {
	t.Parallel()
	keys := []store.Key{{Name: "one", Secret: bytes.Repeat([]byte{1}, 32)}}
	for complaint, cfg := range map[string]redisstore.Config{
		"say Unsealed":       {},
		"has 3 bytes":        {Keys: []store.Key{{Name: "one", Secret: []byte("one")}}},
		"of no use":          {Unsealed: true, Keys: keys},
		"negative":           {Keys: keys, Replicas: -1},
		"cannot be negative": {Keys: keys, ReplicaTimeout: -1},
		"no alive address":   {Keys: keys},
	} {
		s, err := redisstore.New(t.Context(), cfg)
		if s != nil || err == nil || !strings.HasPrefix(err.Error(), "redisstore: ") || !strings.Contains(err.Error(), complaint) {
			t.Errorf("%s: %v, %v", complaint, s, err)
		}
	}
}

func TestNewFailsWithoutAServer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	for name, sentinel := range map[string]string{"single": "", "behind Sentinel": "master"} {
		var log bytes.Buffer
		s, err := redisstore.New(t.Context(), redisstore.Config{
			Client: rueidis.ClientOption{
				InitAddress: []string{addr}, Username: "somebody", Password: "hunter2",
				Sentinel: rueidis.SentinelOption{MasterSet: sentinel, Password: "hunter2"},
			},
			Unsealed: true,
			Logger:   slog.New(slog.NewTextHandler(&log, nil)),
		})
		if s != nil || err == nil || strings.Contains(err.Error(), "hunter2") || log.Len() > 0 {
			t.Errorf("%s: %v, %v, logged %q", name, s, err, log.String())
		}
	}
}

// A server that accepts and does not answer.
func TestNewGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, err := redisstore.New(ctx, redisstore.Config{
		Client: rueidis.ClientOption{InitAddress: []string{l.Addr().String()}}, Unsealed: true,
	})
	if s != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", s, err)
	}
}

func TestConfigShowsNoSecret(t *testing.T) {
	t.Parallel()
	cfg := redisstore.Config{
		Client: rueidis.ClientOption{
			InitAddress: []string{"redis:6379"}, Password: "hunter2", Sentinel: rueidis.SentinelOption{Password: "hunter2"},
		},
		Keys: []store.Key{{Name: "one", Secret: bytes.Repeat([]byte("s"), 32)}},
	}
	for _, v := range []any{cfg, &cfg, []redisstore.Config{cfg}} {
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("", "config", v)
		slog.New(slog.NewTextHandler(&log, nil)).Info("", "config", v)
		for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %q %x", v, v, v, v, v, v), log.String()} {
			if strings.Contains(text, "hunter2") || strings.Contains(text, "ssss") || strings.Contains(text, "73737373") {
				t.Errorf("%T: %s", v, text)
			}
		}
	}
}
