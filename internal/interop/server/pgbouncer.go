package server

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/internal/interop/process"
)

// StartPgBouncer runs PgBouncer before p until the test ends. It pools transactions: each statement outside of one may go
// to another of its three connections. It returns the port of loopback on which it speaks for every database of p.
func StartPgBouncer(t testing.TB, p *Postgres) (port string) {
	t.Helper()
	port, err := process.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	settings := fmt.Appendf(nil, `
[databases]
* = host=127.0.0.1 port=%s user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
max_client_conn = 500
`, p.Port, port)
	file := filepath.Join(unprivilegedDir(t), "pgbouncer.ini")
	if err := os.WriteFile(file, settings, 0o644); err != nil { //nolint:gosec // it holds no secret, and another user reads it
		t.Fatal(err)
	}
	proc, err := process.Start(watched("TERM", unprivileged("/usr/sbin/pgbouncer", file)...))
	if err != nil {
		t.Fatalf("pgbouncer: %v", err)
	}
	t.Cleanup(proc.Stop)
	err = proc.Until(10*time.Second, func() bool {
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", port)) //nolint:noctx // loopback answers at once
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return port
}
