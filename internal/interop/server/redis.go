package server

import (
	"context"
	"crypto/tls"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/tokenwell/tokenwell/internal/interop/process"
)

// Redis is a Redis server, or a Sentinel. Its default user may do everything, and nobody is asked for a password.
type Redis struct {
	Addr string
	Dir  string      // its working directory
	TLS  *tls.Config // for its clients; nil: it speaks TCP

	args []string
	bus  string // the port on which the nodes of a cluster speak to each other
	proc *process.Process
	pid  int // of the server itself
}

// StartRedis runs a Redis server until the test ends. It keeps nothing on disk unless settings, such as "--appendonly",
// "yes", say so.
func StartRedis(t testing.TB, settings ...string) *Redis {
	t.Helper()
	r := newRedis(t)
	r.args = append([]string{"--port", r.port()}, settings...)
	r.Start(t)
	return r
}

func newRedis(t testing.TB) *Redis {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatalf("redis: %v", err)
	}
	port, err := process.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	r := &Redis{Addr: net.JoinHostPort("127.0.0.1", port), Dir: t.TempDir()}
	t.Cleanup(func() {
		if r.proc != nil {
			r.proc.Stop()
		}
	})
	return r
}

func (r *Redis) port() string {
	_, port, _ := net.SplitHostPort(r.Addr)
	return port
}

// Start starts the server anew after a [Redis.Kill].
func (r *Redis) Start(t testing.TB) {
	t.Helper()
	r.run(t, append([]string{"redis-server", "--bind", "127.0.0.1", "--dir", r.Dir, "--save", ""}, r.args...))
}

func (r *Redis) run(t testing.TB, command []string) {
	t.Helper()
	cmd := watched("KILL", command...)
	// When the tests have been killed while a server was paused, the kernel hangs up on its process group, whose watch is needed.
	cmd.Args[2] = `trap "" HUP; ` + cmd.Args[2]
	proc, err := process.Start(cmd)
	if err != nil {
		t.Fatalf("redis: %v", err)
	}
	r.proc = proc
	err = proc.Until(20*time.Second, func() bool {
		info, err := r.do("INFO", "server").ToString()
		r.pid, _ = strconv.Atoi(infoField(info, "process_id"))
		return err == nil && r.pid != 0
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Kill ends the server as a power failure would.
func (r *Redis) Kill() {
	r.signal(syscall.SIGKILL)
	r.proc.Stop()
}

// Pause stops the server, which keeps its connections and answers nobody, until it is resumed.
func (r *Redis) Pause() { r.signal(syscall.SIGSTOP) }

// Resume is the end of a [Redis.Pause].
func (r *Redis) Resume() { r.signal(syscall.SIGCONT) }

func (r *Redis) signal(s syscall.Signal) { _ = syscall.Kill(r.pid, s) }

// Do sends a command by a connection of its own. It fails the test on an error.
func (r *Redis) Do(t testing.TB, command ...string) rueidis.RedisResult {
	t.Helper()
	result := r.do(command...)
	if err := result.Error(); err != nil && !rueidis.IsRedisNil(err) {
		t.Fatalf("redis: %q: %v", command, err)
	}
	return result
}

func (r *Redis) do(command ...string) rueidis.RedisResult {
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{r.Addr}, TLSConfig: r.TLS,
		ForceSingleClient: true, DisableCache: true, DisableRetry: true, ClientSetInfo: rueidis.DisableClientSetInfo,
	})
	if err != nil {
		return rueidis.NewErrorResult(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return client.Do(ctx, client.B().Arbitrary(command...).Build())
}

// Info returns a field of INFO, "" for none.
func (r *Redis) Info(t testing.TB, section, field string) string {
	t.Helper()
	info, err := r.Do(t, "INFO", section).ToString()
	if err != nil {
		t.Fatalf("redis: INFO %s: %v", section, err)
	}
	return infoField(info, field)
}

// Calls counts the commands that the server has carried out, those that come from a script included, by name.
func (r *Redis) Calls(t testing.TB) map[string]int {
	t.Helper()
	info, err := r.Do(t, "INFO", "commandstats").ToString()
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]int{}
	for line := range strings.Lines(info) {
		name, stats, is := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		n, _, _ := strings.Cut(stats, ",")
		if is {
			calls[name], _ = strconv.Atoi(n)
		}
	}
	return calls
}

func infoField(info, field string) string {
	info = strings.TrimPrefix(info, "txt:") // what a verbatim string of RESP3 begins with
	for line := range strings.Lines(info) {
		if value, is := strings.CutPrefix(line, field+":"); is {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
