package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// server is a PostgreSQL of the tests' own, in a temporary folder and on a Unix
// socket there.
type server struct {
	folder  string
	process *exec.Cmd
	stdin   io.Closer // closing it stops the server, and so does the end of this process
	admin   *sql.DB
	schemas atomic.Int64
}

// shared is the server of all tests. The first one that needs it starts it.
var shared struct {
	start  sync.Once
	server *server
	err    error
}

func newServer() (_ *server, err error) {
	binaries, err := findPostgres()
	if err != nil {
		return nil, err
	}
	s := new(server)
	if s.folder, err = os.MkdirTemp("", "courier-sync-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	attributes, err := s.credential()
	if err != nil {
		return nil, err
	}
	data := filepath.Join(s.folder, "data")
	initdb := exec.Command(filepath.Join(binaries, "initdb"), "-D", data, "-U", "test",
		"-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = attributes, s.folder
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	// The shell ends the server when its input ends, also if this process is killed.
	const untilStdinEnds = `"$0" "$@" </dev/null & read -r _; kill -QUIT $!; wait $!`
	s.process = exec.Command("sh", "-c", untilStdinEnds,
		filepath.Join(binaries, "postgres"), "-D", data, "-c", "listen_addresses=",
		"-c", "unix_socket_directories="+s.folder, "-c", "fsync=off", "-c", "max_connections=100")
	s.process.SysProcAttr, s.process.Dir = attributes, s.folder
	log := new(strings.Builder)
	s.process.Stdout, s.process.Stderr = log, log
	if s.stdin, err = s.process.StdinPipe(); err != nil {
		return nil, err
	}
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	if s.admin, err = sql.Open("pgx", s.url("public")); err != nil {
		return nil, err
	}
	for range 300 {
		if err = s.admin.Ping(); err == nil {
			return s, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil, fmt.Errorf("PostgreSQL does not start: %w\n%s", err, log)
}

// findPostgres returns a folder with PostgreSQL's server programs, which Debian keeps
// out of PATH.
func findPostgres() (string, error) {
	paths, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if path, err := exec.LookPath("initdb"); err == nil {
		paths = []string{path}
	}
	if len(paths) == 0 {
		return "", errors.New("PostgreSQL's initdb is not installed, and these tests run a " +
			"server: install it with apt-get install postgresql")
	}
	return filepath.Dir(paths[len(paths)-1]), nil
}

// credential has the server run as postgres if this process is root, as which it
// refuses to run.
func (s *server) credential() (*syscall.SysProcAttr, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	account, err := osuser.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.Atoi(account.Uid)
	gid, _ := strconv.Atoi(account.Gid)
	as := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return &syscall.SysProcAttr{Credential: as}, os.Chown(s.folder, uid, gid)
}

func (s *server) url(schema string) string {
	return "postgres:///postgres?user=test&host=" + s.folder + "&search_path=" + schema
}

// newSchema creates an empty schema and returns the URL of a database that has only
// this one.
func (s *server) newSchema(ctx context.Context) (string, error) {
	name := fmt.Sprint("test", s.schemas.Add(1))
	_, err := s.admin.ExecContext(ctx, "CREATE SCHEMA "+name)
	return s.url(name), err
}

func (s *server) stop() {
	if s.admin != nil {
		s.admin.Close()
	}
	if s.process != nil && s.process.Process != nil {
		s.stdin.Close()
		_ = s.process.Wait()
	}
	os.RemoveAll(s.folder)
}
