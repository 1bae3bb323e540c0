package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// rejects is the file of rejected rows. It is created with the first one.
type rejects struct {
	path   string
	header string
	size   int64     // including the buffer
	hash   hash.Hash // of the same
	buffer []byte
	file   *os.File
	dirty  bool // the file was written to since the last sync
}

const maxBuffered = 64 << 10

// openRejects resumes a file of that size and sum. The rest was written after the
// checkpoint, by a run that was killed, and will be written again.
func openRejects(path, header string, size int64, sum string) (*rejects, error) {
	r := &rejects{path: path, header: header, size: size, hash: sha256.New()}
	if size == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return r, nil
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is gone, with the rows rejected so far: put it back, or use -fresh to start over", path)
	}
	if err != nil {
		return nil, err
	}
	r.file = file
	_, err = io.CopyN(r.hash, file, size)
	if err == io.EOF || err == nil && r.sum() != sum {
		err = fmt.Errorf("%s was changed: restore it, or copy it elsewhere and use -fresh to start over", path)
	}
	if err == nil {
		err = file.Truncate(size)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return r, nil
}

func (r *rejects) sum() string { return hex.EncodeToString(r.hash.Sum(nil)) }

// create creates the file, which must not exist.
func (r *rejects) create() error {
	// Only its owner can read it, because it holds personal data.
	file, err := os.OpenFile(r.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	r.file = file
	return syncFolder(filepath.Dir(r.path))
}

// add appends a row to a file that was created or resumed.
func (r *rejects) add(text string) error {
	if r.size == 0 {
		text = r.header + text
	}
	r.hash.Write([]byte(text))
	r.buffer = append(r.buffer, text...)
	r.size += int64(len(text))
	if len(r.buffer) < maxBuffered {
		return nil
	}
	return r.flush()
}

func (r *rejects) flush() error {
	if len(r.buffer) == 0 {
		return nil
	}
	_, err := r.file.Write(r.buffer)
	r.buffer, r.dirty = r.buffer[:0], true
	return err
}

// sync makes everything that was added survive a power cut.
func (r *rejects) sync() error {
	if err := r.flush(); err != nil || !r.dirty {
		return err
	}
	r.dirty = false
	return r.file.Sync()
}

func (r *rejects) close() error {
	err := r.sync()
	if r.file != nil {
		err = errors.Join(err, r.file.Close())
	}
	return err
}
