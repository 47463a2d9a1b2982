package redisstore

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/rueidis"
)

// The scripts compare what they find with a revision; each has one key, and so works in a cluster. SETRANGE of nothing
// changes nothing, but it is a write: a replica refuses it, such as a master that has been demoted while we were connected.
// So nobody is told that a write has lost, or that a key is not there, by a server that does not know.
const (
	loadScript = `
local master = redis.pcall('SETRANGE', KEYS[1], 0, '')
if type(master) == 'table' and string.find(master.err, 'READONLY', 1, true) then return master end
return redis.call('GET', KEYS[1])`

	swapScript = `
if ARGV[1] == '' then
	return redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3], 'NX') and 1 or 0
end
if redis.call('GETRANGE', KEYS[1], 0, 15) == ARGV[1] then
	redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
	return 1
end
redis.call('SETRANGE', KEYS[1], 0, '')
return 0`

	deleteScript = `
if ARGV[1] ~= '' and redis.call('GETRANGE', KEYS[1], 0, 15) == ARGV[1] then
	return redis.call('DEL', KEYS[1])
end
redis.call('SETRANGE', KEYS[1], 0, '')
return 0`
)

// rueidis sends a command again when a connection breaks only if it is marked as retryable, which those that write are not:
// a Swap that had happened would lose against itself. It sends them again after MOVED and ASK, which say that nothing
// has happened.
var (
	loadLua   = rueidis.NewLuaScriptRetryable(loadScript)
	swapLua   = rueidis.NewLuaScript(swapScript)
	deleteLua = rueidis.NewLuaScript(deleteScript)
)

// write runs a script once, and tells whether it has written.
func (s *states) write(ctx context.Context, lua *rueidis.Lua, script, key string, args ...string) (bool, error) {
	keys := []string{s.prefix + key}
	n, err := ask(ctx, s, func() (int64, error) {
		if s.replicas > 0 {
			return s.execAndWait(ctx, script, keys, args)
		}
		return lua.Exec(ctx, s.client, keys, args).AsInt64()
	})
	if err != nil {
		return false, fmt.Errorf("redisstore: %w", err)
	}
	return n == 1, nil
}

// execAndWait runs a script on a connection of its own, for WAIT is about the writes of its connection and holds up all
// others on it.
func (s *states) execAndWait(ctx context.Context, script string, keys, args []string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.replicaTimeout+s.answerTimeout)
	defer cancel()
	var conn rueidis.CommandClient = s.client
	if s.cluster {
		// MOVED would be followed with the script alone, and WAIT left to another node; here it is an error.
		dedicated, release := s.client.Dedicate()
		defer release()
		conn = dedicated
	}
	b := s.client.B()
	answers := conn.DoMulti(ctx,
		b.Eval().Script(script).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build(),
		b.Wait().Numreplicas(int64(s.replicas)).Timeout(milliseconds(s.replicaTimeout)).Build())
	n, err := answers[0].AsInt64()
	if err != nil || n == 0 {
		return 0, err
	}
	got, err := answers[1].AsInt64()
	switch {
	case err != nil:
		return 0, fmt.Errorf("written, but no word of the replicas: %w", err)
	case got < int64(s.replicas):
		return 0, fmt.Errorf("written, but %d replicas have it instead of %d: it may not survive a failover", got, s.replicas)
	}
	return n, nil
}

// milliseconds rounds up: nothing expires early, and nothing never.
func milliseconds(d time.Duration) int64 {
	ms := d.Milliseconds()
	if d%time.Millisecond != 0 {
		ms++
	}
	return ms
}
