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

// rejects is the file of rejected rows. It is there only if there are some.
type rejects struct {
	path   string
	header string
	size   int64     // with what is in the buffer
	hash   hash.Hash // of all that
	buffer []byte
	file   *os.File
	dirty  bool // the file was written to since the last sync
}

const maxBuffered = 64 << 10

// openRejects goes on with a file of that size and sum. What lies behind was
// written after the checkpoint, by a run that was killed, and comes again.
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
		return nil, fmt.Errorf("%s is gone, with the rows that were rejected so far: put it back, or use -fresh to begin at the first row again", path)
	}
	if err != nil {
		return nil, err
	}
	r.file = file
	_, err = io.CopyN(r.hash, file, size)
	if err == io.EOF || err == nil && r.sum() != sum {
		err = fmt.Errorf("%s is not as it was left: put it back, or copy it elsewhere and use -fresh to begin at the first row again", path)
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

// create makes the file, which must not be there.
func (r *rejects) create() error {
	// It holds personal data, so only its owner can read it.
	file, err := os.OpenFile(r.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	r.file = file
	return syncFolder(filepath.Dir(r.path))
}

// add appends a row, to a file that was created or gone on with.
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

// sync makes all that was added survive a power cut.
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
