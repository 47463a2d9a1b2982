package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/rueidis"
)

// clientOptions sets what this package decides, and the defaults of what it leaves to others.
func clientOptions(o rueidis.ClientOption) rueidis.ClientOption {
	// Everything is read where it is written.
	o.ReplicaOnly, o.SendToReplicas, o.ReadNodeSelector = false, nil, nil
	o.Standalone.ReplicaAddress = nil
	// Each key that is read is tracked, in a cache for each connection that ends with it.
	o.ClientTrackingOptions, o.NewCacheStoreFn = nil, nil
	// At the end of such a life rueidis sends a command again whose answer has not come: a write would meet itself.
	o.ConnLifetime = 0

	// A connection is asked for a sign of life when it has been idle for KeepAlive, and given up when none comes in
	// ConnWriteTimeout. Sentinels too: who has lost touch with them does not hear of a failover.
	setDefault(&o.Dialer.KeepAlive, 500*time.Millisecond)
	setDefault(&o.ConnWriteTimeout, 2*time.Second)
	setDefault(&o.Dialer.Timeout, 2*time.Second)
	setDefault(&o.Sentinel.Dialer.KeepAlive, o.Dialer.KeepAlive)
	setDefault(&o.Sentinel.Dialer.Timeout, o.Dialer.Timeout)
	setDefault(&o.Sentinel.TopologyRefreshInterval, 5*time.Second)
	// One connection for each node, and so one cache: what is pipelined does not need more.
	setDefault(&o.PipelineMultiplex, -1)
	// Connections that WAIT, each with buffers of a mebibyte.
	setDefault(&o.BlockingPoolSize, 32)
	return o
}

func setDefault[T cmp.Ordered](option *T, value T) {
	var zero T
	if *option <= zero {
		*option = value
	}
}

// stall is how long a connection can be silent before it is given up: a sign of life is asked for when nothing has come
// since the last time that was looked at, which is once in KeepAlive.
func stall(o rueidis.ClientOption) time.Duration {
	return 2*o.Dialer.KeepAlive + o.ConnWriteTimeout
}

// connect tells whether the server takes part in caching.
func connect(ctx context.Context, o rueidis.ClientOption, log *slog.Logger) (client rueidis.Client, cached bool, err error) {
	client, err = dial(ctx, o)
	if err == nil && !o.DisableCache {
		// Whoever may track but not this would have rueidis cache what is not tracked: it does not look at the answer.
		if err = client.Do(ctx, client.B().ClientCaching().Yes().Build()).Error(); err == nil {
			return client, true, nil
		}
		client.Close()
		if _, refused := rueidis.IsRedisErr(err); refused {
			err = fmt.Errorf("%w: %w", rueidis.ErrNoCache, err)
		}
	}
	if !errors.Is(err, rueidis.ErrNoCache) {
		return client, false, err
	}
	log.WarnContext(ctx, "redisstore: the server offers no client-side caching: every read asks it", "error", err)
	o.DisableCache = true
	client, err = dial(ctx, o)
	return client, false, err
}

// dial is rueidis.NewClient for as long as ctx lasts.
func dial(ctx context.Context, o rueidis.ClientOption) (rueidis.Client, error) {
	type result struct {
		client rueidis.Client
		err    error
	}
	done := make(chan result)
	go func() {
		client, err := rueidis.NewClient(o)
		select {
		case done <- result{client, err}:
		case <-ctx.Done():
			if err == nil {
				client.Close()
			}
		}
	}()
	select {
	case r := <-done:
		return r.client, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
