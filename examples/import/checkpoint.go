package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/gofrs/flock"
)

// checkpoint is the progress of an import. A row is settled when it was merged or
// rejected: the first Rows are, and those in Settled.
type checkpoint struct {
	Version int    `json:"version"`
	Input   string `json:"input"` // for people; Sum is what identifies it

	// What must be the same when the import resumes.
	Destination string   `json:"destination"`
	Empty       string   `json:"empty"`
	Rejects     string   `json:"rejects_file"`
	Reading     []string `json:"reading,omitempty"` // the flags -id, -column and -null

	Rows    int          `json:"rows"`
	Settled []settledRow `json:"settled,omitempty"`
	// Through is the number of rows that Sum covers: Rows, or those up to the last
	// one in Settled.
	Through int    `json:"through"`
	Sum     string `json:"sum"`
	// Claimed is how many rows may have been sent. It runs ahead, so that it still
	// holds after a crash before the next checkpoint.
	Claimed int `json:"claimed"`

	// RejectsBegun says that the file of rejects belongs to this import. It is saved
	// before anything is in that file.
	RejectsBegun bool   `json:"rejects_begun"`
	RejectsSize  int64  `json:"rejects_size"` // in bytes; the rest is overwritten
	RejectsSum   string `json:"rejects_sum"`

	// Of the first Rows.
	Merged   int `json:"merged"`
	Rejected int `json:"rejected"`

	Resent int `json:"resent"`
}

type settledRow struct {
	Row    int    `json:"row"`
	Merged bool   `json:"merged,omitempty"`
	Reason string `json:"reason,omitempty"` // if it was not
}

const checkpointVersion = 2

// checkpointFile keeps a checkpoint, locked against other imports.
type checkpointFile struct {
	path string
	lock *flock.Flock
}

// openCheckpoint locks the checkpoint at path.
func openCheckpoint(path string) (*checkpointFile, error) {
	f := &checkpointFile{path: path, lock: flock.New(path + ".lock")}
	locked, err := f.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("the checkpoint cannot be locked: %w: name other files with -checkpoint and -rejects", err)
	}
	if locked {
		// Another process may have removed the file it held the lock on.
		held, err := f.lock.Stat()
		there, err2 := os.Stat(f.lock.Path())
		if errors.Join(err, err2) == nil && os.SameFile(held, there) {
			return f, nil
		}
		_ = f.lock.Unlock()
	}
	return nil, fmt.Errorf("another import is using %s: wait for it, or stop it", path)
}

// close releases the lock.
func (f *checkpointFile) close() {
	_ = os.Remove(f.lock.Path()) // before others can lock it
	_ = f.lock.Unlock()
}

// load returns the checkpoint, or false if there is none.
func (f *checkpointFile) load() (checkpoint, bool, error) {
	text, err := os.ReadFile(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return checkpoint{}, false, nil
	case err != nil:
		return checkpoint{}, false, err
	}
	var c checkpoint
	if err := json.Unmarshal(text, &c); err != nil || c.Version != checkpointVersion {
		return checkpoint{}, false, fmt.Errorf("%s is not a checkpoint of this version: use -fresh to start over, or move it away", f.path)
	}
	return c, true, nil
}

// save replaces the checkpoint. A power cut leaves either the old one or the new one.
func (f *checkpointFile) save(c checkpoint) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	temp := f.path + ".tmp"
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(append(text, '\n'))
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(temp, f.path)
	}
	if err != nil {
		_ = os.Remove(temp)
		return err
	}
	return syncFolder(filepath.Dir(f.path))
}

func (f *checkpointFile) remove() error {
	if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncFolder(filepath.Dir(f.path))
}

// syncFolder makes the creation and removal of files survive a power cut.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil // which neither has nor needs such a call
	}
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
