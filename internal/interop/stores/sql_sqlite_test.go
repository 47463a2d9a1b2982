package stores

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/store"
)

// A process is killed while it writes, and another one finds every login that was acknowledged.
func TestSQLiteKillLogsNobodyOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokenwell.db")
	acknowledged := map[string]string{}
	for round := range 3 {
		process, output := startAnother(t, "log in", path, strconv.Itoa(round))
		for enough := len(acknowledged) + 100; len(acknowledged) < enough && output.Scan(); {
			key, rev, ok := strings.Cut(output.Text(), " ")
			if !ok {
				t.Fatal(output.Text())
			}
			acknowledged[key] = rev
		}
		if err := process.Kill(); err != nil {
			t.Fatal(err)
		}
		for output.Scan() { // what it said before the blow
			if key, rev, ok := strings.Cut(output.Text(), " "); ok {
				acknowledged[key] = rev
			}
		}
		s := newSQL(t, openSQLite(t, path), store.SQLConfig{Dialect: store.SQLite, Keys: sqlKeys})
		for key, rev := range acknowledged {
			if value, got, err := s.Load(t.Context(), key); string(value) != "login of "+key || got != rev || err != nil {
				t.Fatalf("round %d: Load(%q) = %q, %q, %v", round, key, value, got, err)
			}
		}
		_ = s.Close()
	}
	if len(acknowledged) < 300 {
		t.Errorf("%d logins: this shows nothing", len(acknowledged))
	}
}

// Processes that write at the same time wait for each other, from the making of the file on.
func TestSQLiteProcessesShareAFile(t *testing.T) {
	const processes, each = 3, 200
	path := filepath.Join(t.TempDir(), "tokenwell.db")
	var outputs []*bufio.Scanner
	for range processes {
		_, output := startAnother(t, "count", path, strconv.Itoa(each))
		outputs = append(outputs, output)
	}
	for _, output := range outputs {
		if output.Scan(); output.Text() != "done" {
			t.Error(output.Text())
		}
	}
	s := newSQL(t, openSQLite(t, path), store.SQLConfig{Dialect: store.SQLite, Keys: sqlKeys})
	if value, _, err := s.Load(t.Context(), "counter"); string(value) != strconv.Itoa(processes*each) || err != nil {
		t.Errorf("%d processes count %d each: %q, %v", processes, each, value, err)
	}
}

// TestAnotherProcess is the other process of the tests above, and else nothing.
func TestAnotherProcess(t *testing.T) {
	args := strings.Split(os.Getenv(anotherProcess), "\n")
	if len(args) != 3 {
		return
	}
	s := newSQL(t, openSQLite(t, args[1]), store.SQLConfig{Dialect: store.SQLite, Keys: sqlKeys})
	switch args[0] {
	case "log in":
		for i := 0; ; i++ {
			key := fmt.Sprintf("%s:%d", args[2], i)
			rev, err := s.Swap(t.Context(), key, "", []byte("login of "+key), time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Println(key, rev)
		}
	case "count":
		each, _ := strconv.Atoi(args[2])
		var counting sync.WaitGroup
		for range 4 {
			counting.Go(func() {
				for range each / 4 {
					if err := count(t.Context(), s); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		counting.Wait()
		fmt.Println("done")
	}
}

// count adds one to the counter.
func count(ctx context.Context, s store.Store) error {
	for {
		value, rev, err := s.Load(ctx, "counter")
		if err != nil {
			return err
		}
		n, _ := strconv.Atoi(string(value))
		if rev, err = s.Swap(ctx, "counter", rev, []byte(strconv.Itoa(n+1)), time.Hour); rev != "" || err != nil {
			return err
		}
	}
}

const anotherProcess = "TOKENWELL_ANOTHER_PROCESS"

// startAnother runs [TestAnotherProcess] until the test ends, and returns what it says.
func startAnother(t *testing.T, args ...string) (*os.Process, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAnotherProcess$")
	cmd.Env = append(os.Environ(), anotherProcess+"="+strings.Join(args, "\n"))
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // killed, as the test's context has ended
	return cmd.Process, bufio.NewScanner(output)
}

// While another process writes, those who read go on, however many want to write: these wait without a connection, and no
// longer than they are told to.
func TestSQLiteReadersDoNotWaitForWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokenwell.db")
	db := openSQLite(t, path)
	db.SetMaxOpenConns(2)
	s := newSQL(t, db, store.SQLConfig{Dialect: store.SQLite, Keys: sqlKeys})
	rev, err := s.Swap(t.Context(), "key", "", []byte("value"), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	release := lockRow(t, openSQLite(t, path))
	write := func(ctx context.Context, want error) func() {
		return func() {
			if _, err := s.Swap(ctx, "key", rev, []byte("other"), time.Minute); !errors.Is(err, want) {
				t.Errorf("Swap: %v, want %v", err, want)
			}
		}
	}
	var patient, impatient sync.WaitGroup
	patient.Go(write(t.Context(), nil))
	for db.Stats().InUse == 0 { // until somebody waits for the other process
		time.Sleep(time.Millisecond)
	}
	enough, cancel := context.WithTimeout(t.Context(), 3*time.Second) // SQLite itself would wait for five
	defer cancel()
	ctx, cancel := context.WithTimeout(enough, time.Second)
	defer cancel()
	for range 5 {
		impatient.Go(write(ctx, context.DeadlineExceeded))
	}
	for range 20 {
		if value, got, err := s.Load(ctx, "key"); string(value) != "value" || got != rev || err != nil {
			t.Fatalf("Load: %q, %q, %v", value, got, err)
		}
	}
	impatient.Wait()
	if enough.Err() != nil {
		t.Error("writers waited for longer than they were told to")
	}
	release()
	patient.Wait()
}

func TestSQLiteWarnsOfSettingsThatLoseOrBlock(t *testing.T) {
	for pragmas, want := range map[string][]string{
		"": {"journal_mode is not WAL", "busy_timeout is 0"},
		"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(1000)":                             nil,
		"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(1000)&_pragma=synchronous(NORMAL)": {"synchronous is not FULL"},
	} {
		var log lines
		db := openSQL(t, "sqlite", "file:"+filepath.Join(t.TempDir(), "tokenwell.db")+pragmas)
		newSQL(t, db, store.SQLConfig{Dialect: store.SQLite, Keys: sqlKeys, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if len(log) != len(want) {
			t.Errorf("%q: %q", pragmas, log)
			continue
		}
		for i, w := range want {
			if !strings.Contains(log[i], w) {
				t.Errorf("%q: %q; want %q", pragmas, log[i], w)
			}
		}
	}
}

func TestSQLiteThatCannotBeUsedIsAnErrorAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokenwell.db")
	cfg := store.SQLConfig{Dialect: store.SQLite, Keys: sqlKeys, Logger: complaints(t)}
	refuses := func(source, want string) {
		t.Helper()
		s, err := store.NewSQL(t.Context(), openSQL(t, "sqlite", source), cfg)
		if s != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", source, err, want)
		}
	}
	refuses("file:"+filepath.Join(path, "no", "directory"), "unable to open")
	newSQL(t, openSQLite(t, path), cfg)
	refuses(sqliteSource(path)+"&mode=ro", "readonly")
	if err := os.WriteFile(path+".txt", []byte(strings.Repeat("this is no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	refuses("file:"+path+".txt", "not a database")
}
