package server

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tokenwell/tokenwell/internal/interop/process"
)

// Postgres is a PostgreSQL server. Its superuser is postgres, and nobody is asked for a password.
type Postgres struct {
	Port string

	bin, dir string
	proc     *process.Process
}

// StartPostgres runs a PostgreSQL server until the test ends.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(bins) == 0 {
		t.Fatal("postgresql: no server in /usr/lib/postgresql")
	}
	port, err := process.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	p := &Postgres{Port: port, bin: filepath.Dir(slices.Max(bins)), dir: unprivilegedDir(t)}
	initdb := unprivileged(filepath.Join(p.bin, "initdb"), "--pgdata", p.dir, "--auth=trust", "--username=postgres", "--encoding=UTF8",
		"--locale=C", "--no-sync")
	if out, err := exec.CommandContext(t.Context(), initdb[0], initdb[1:]...).CombinedOutput(); err != nil { //nolint:gosec // of this file's own making
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	t.Cleanup(p.Crash)
	p.Start(t)
	return p
}

// Start starts the server anew after a [Postgres.Crash].
func (p *Postgres) Start(t testing.TB) {
	t.Helper()
	// Of a crash, the operating system keeps what was written: fsync is for power failures.
	proc, err := process.Start(watched("QUIT", unprivileged(filepath.Join(p.bin, "postgres"), "-D", p.dir, "-p", p.Port,
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off")...))
	if err != nil {
		t.Fatalf("postgresql: %v", err)
	}
	p.proc = proc
	if err := proc.Until(time.Minute, func() bool { return p.exec(t.Context(), "postgres", "SELECT 1") == nil }); err != nil {
		t.Fatal(err)
	}
}

// Crash ends the server, all connections included, without letting it write a checkpoint: what it has acknowledged is in its
// log or lost.
func (p *Postgres) Crash() {
	if p.proc != nil {
		p.proc.Stop()
	}
}

// Database makes a database and returns its connection string.
func (p *Postgres) Database(t testing.TB, name string) string {
	t.Helper()
	p.Exec(t, "postgres", "CREATE DATABASE "+name)
	return p.URL(name)
}

// URL is the connection string of a database.
func (p *Postgres) URL(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%s/%s?sslmode=disable", p.Port, database)
}

// Exec runs statements in a database, by the superuser.
func (p *Postgres) Exec(t testing.TB, database, statements string) {
	t.Helper()
	if err := p.exec(t.Context(), database, statements); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}

func (p *Postgres) exec(ctx context.Context, database, statements string) error {
	conn, err := pgx.Connect(ctx, p.URL(database))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, statements)
	return err
}

// PostgreSQL and PgBouncer refuse to run as root.
const nobodyMuch = "postgres"

// unprivileged returns the command that runs args as somebody who is not root.
func unprivileged(args ...string) []string {
	if os.Getuid() != 0 {
		return args
	}
	return append([]string{"setpriv", "--reuid=" + nobodyMuch, "--regid=" + nobodyMuch, "--init-groups"}, args...)
}

// unprivilegedDir makes a directory for one who is not root; that of the test is closed to others.
func unprivilegedDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tokenwell-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if os.Getuid() != 0 {
		return dir
	}
	owner, err := user.Lookup(nobodyMuch)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(owner.Uid)
	gid, _ := strconv.Atoi(owner.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return dir
}

// watched returns a command that ends a server by a signal when its own standard input does, as it does when the tests
// have been killed. The server's processes may be in groups of their own, so it must be the server that ends them.
func watched(signal string, args ...string) *exec.Cmd {
	const script = `trap "" TERM HUP; exec 3<&0; "$@" </dev/null & pid=$!; { read -r _; kill -` + "%s" + ` $pid; } <&3 & wait $pid`
	return exec.Command("/bin/sh", append([]string{"-c", fmt.Sprintf(script, signal), "sh"}, args...)...) //nolint:gosec,noctx // of this package's making; Stop ends it
}
