package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// identity is what must be the same when an import resumes.
type identity struct {
	Version     int      `json:"version"`
	Input       string   `json:"input"` // for people; Sum identifies it
	Sum         string   `json:"sum"`
	Destination string   `json:"destination"`
	Rejects     string   `json:"rejects_file"`
	Flags       []string `json:"flags"`
}

const checkpointVersion = 3

// checkpoint remembers which records were merged: a file whose first line is the
// identity of the import, and every other one the index of a record. Lines are only
// appended, in the order of outcomes. Those of a user have the order of its records,
// so whatever is lost of the end of the file in a crash, the records that are sent
// again are the last ones of each user, in order.
type checkpoint struct {
	path    string
	lock    *flock.Flock
	file    *os.File
	line    []byte
	synced  time.Time
	merged  []uint64 // a bit for each record that was merged before
	resumed int64    // how many these are
	used    bool     // this run has merged records
}

const syncEvery = 200 * time.Millisecond

// openCheckpoint opens and locks the checkpoint at path, and reads what an earlier
// run has left there.
func openCheckpoint(path string, id identity, fresh bool) (*checkpoint, error) {
	c := &checkpoint{path: path, lock: flock.New(path + ".lock")}
	if err := c.tryLock(); err != nil {
		return nil, err
	}
	// Only its owner can read it, because flags and names may be personal.
	var err error
	c.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = c.load(id, fresh)
	}
	if err != nil {
		c.unlock()
		return nil, errors.Join(err, c.file.Close())
	}
	return c, nil
}

func (c *checkpoint) tryLock() error {
	locked, err := c.lock.TryLock()
	if err != nil {
		return fmt.Errorf("the checkpoint cannot be locked: %w: name other files with "+
			"-checkpoint and -rejects", err)
	}
	if locked {
		// Another process may have removed the file it held the lock on.
		held, err := c.lock.Stat()
		there, err2 := os.Stat(c.lock.Path())
		if errors.Join(err, err2) == nil && os.SameFile(held, there) {
			return nil
		}
		_ = c.lock.Unlock()
	}
	return fmt.Errorf("another import is using %s: wait for it, or stop it", c.path)
}

func (c *checkpoint) unlock() {
	_ = os.Remove(c.lock.Path()) // before others can lock it
	_ = c.lock.Unlock()
}

func (c *checkpoint) load(id identity, fresh bool) error {
	id.Version = checkpointVersion
	info, err := c.file.Stat()
	if err != nil {
		return err
	}
	if fresh || info.Size() == 0 {
		return c.begin(id)
	}
	r := bufio.NewReader(c.file)
	line, err := r.ReadBytes('\n')
	var was identity
	if err != nil || json.Unmarshal(line, &was) != nil || was.Version != checkpointVersion {
		return fmt.Errorf("%s is not a checkpoint of this version: move it away, or use "+
			"-fresh to start over", c.path)
	}
	if err := was.same(id, c.path); err != nil {
		return err
	}
	size := int64(len(line))
	for {
		line, err := r.ReadString('\n')
		index, invalid := strconv.Atoi(strings.TrimSuffix(line, "\n"))
		if err != nil || invalid != nil || index < 0 { // the end, or what a crash left
			break
		}
		c.add(index)
		size += int64(len(line))
	}
	if err := c.file.Truncate(size); err != nil {
		return err
	}
	_, err = c.file.Seek(size, io.SeekStart)
	return err
}

// begin makes the file that of a new import.
func (c *checkpoint) begin(id identity) error {
	line, err := json.Marshal(id)
	if err != nil {
		return err
	}
	if err := c.file.Truncate(0); err != nil {
		return err
	}
	_, err = c.file.WriteAt(append(line, '\n'), 0)
	if err == nil {
		_, err = c.file.Seek(0, io.SeekEnd)
	}
	return err
}

// same refuses the checkpoint of another import.
func (id identity) same(now identity, path string) error {
	with := "without flags that change what is sent"
	if len(id.Flags) > 0 {
		var words []string
		for _, word := range id.Flags {
			words = append(words, job.Quote(word))
		}
		with = "with " + strings.Join(words, " ")
	}
	what := ""
	switch {
	case id.Sum != now.Sum:
		what = "when that file was another"
	case id.Destination != now.Destination:
		what = "to " + id.Destination
	case id.Rejects != now.Rejects:
		what = "with " + id.Rejects + " for rejected records"
	case !slices.Equal(id.Flags, now.Flags):
		what = with
	default:
		return nil
	}
	return fmt.Errorf("%s belongs to an unfinished import of %s %s: finish that one first, "+
		"name another file with -checkpoint, or use -fresh to start over", path, id.Input, what)
}

func (c *checkpoint) add(index int) {
	for len(c.merged) <= index/64 {
		c.merged = append(c.merged, make([]uint64, len(c.merged)+1)...)
	}
	bit := uint64(1) << (index % 64)
	if c.merged[index/64]&bit == 0 {
		c.resumed++
	}
	c.merged[index/64] |= bit
}

// has reports whether an earlier run has merged the record.
func (c *checkpoint) has(index int) bool {
	return index/64 < len(c.merged) && c.merged[index/64]&(1<<(index%64)) != 0
}

// record remembers that a record was merged.
func (c *checkpoint) record(index int) error {
	c.used = true
	c.line = append(strconv.AppendInt(c.line[:0], int64(index), 10), '\n')
	_, err := c.file.Write(c.line)
	if err != nil || time.Since(c.synced) < syncEvery {
		return err
	}
	c.synced = time.Now() // a crash of the machine costs what was merged since
	return c.file.Sync()
}

// close keeps what was merged for the next run, if anything was.
func (c *checkpoint) close() error {
	if !c.used && c.resumed == 0 {
		return c.remove()
	}
	defer c.unlock()
	return errors.Join(c.file.Sync(), c.file.Close())
}

// remove ends the import.
func (c *checkpoint) remove() error {
	defer c.unlock()
	return errors.Join(c.file.Close(), os.Remove(c.path))
}
