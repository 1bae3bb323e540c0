package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// input is a file that is read more than once. Each reading but the first is
// refused where the file is not what it was.
type input struct {
	file  *os.File
	name  string // for people
	size  int64
	pos   atomic.Int64 // of the current reading
	first *fingerprint
}

// openInput opens the file at path, or standard input for "-". What can be read
// only once is copied to a temporary file.
func openInput(ctx context.Context, path string, stdin *os.File) (*input, error) {
	in := &input{name: "standard input", file: stdin}
	if path != "-" {
		in.name = filepath.Base(path)
		var err error
		if in.file, err = job.Open(path); err != nil {
			return nil, err
		}
	}
	info, err := in.file.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = fmt.Errorf("%s is a folder: name a file in it", in.name)
	case info.Mode().IsRegular():
		in.size = info.Size()
	default:
		if path == "-" && job.IsTerminal(stdin) {
			err = errors.New("standard input is a terminal: name a file, or pipe one in")
			break
		}
		err = in.copyToTemp(ctx)
	}
	if err != nil {
		in.close()
		return nil, err
	}
	return in, nil
}

// copyToTemp replaces the file with a copy, which only its owner can read and which
// has no name any more, so that nothing is left of it however the program ends.
func (in *input) copyToTemp(ctx context.Context) error {
	temp, err := os.CreateTemp("", "courier-import-*") // with mode 0600
	if err != nil {
		return err
	}
	if err := os.Remove(temp.Name()); err != nil {
		// On Windows, an open file cannot be removed: its last close does it there.
		context.AfterFunc(ctx, func() { _ = os.Remove(temp.Name()) })
	}
	from := in.file
	in.file = temp
	copied := make(chan error, 1)
	go func() {
		_, err := io.Copy(temp, from)
		copied <- err
	}()
	select {
	case err = <-copied:
	case <-ctx.Done(): // the copying ends with the process
		return job.ErrInterrupted
	}
	if err == nil {
		in.size, err = temp.Seek(0, io.SeekEnd)
	}
	return err
}

func (in *input) close() { _ = in.file.Close() }

// chunkSize is how much of a file is compared before it is used.
const chunkSize = 64 << 10

// fingerprint is what a file was when it was read first: a hash of each chunk, and
// one of the whole.
type fingerprint struct {
	chunks [][8]byte
	whole  string
}

var errChanged = errors.New("the file was changed while it was being read: start again")

// open begins a reading, from the start.
func (in *input) open() io.Reader {
	in.pos.Store(0)
	r := &compared{in: in, r: io.NewSectionReader(in.file, 0, 1<<62), was: in.first}
	if r.was == nil {
		r.now, r.whole = &fingerprint{}, sha256.New()
	}
	return r
}

// compared reads a file. It hands out a chunk only if it is the one of the first
// reading, or if this is the first.
type compared struct {
	in    *input
	r     io.Reader
	was   *fingerprint // nil in the first reading
	now   *fingerprint // nil in the others
	whole hash.Hash
	next  int // index of the next chunk

	buf   [chunkSize]byte
	chunk []byte // what is left of the current one
	err   error  // after that
}

func (c *compared) Read(p []byte) (int, error) {
	if len(c.chunk) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		c.readChunk()
		if len(c.chunk) == 0 {
			return 0, c.err
		}
	}
	n := copy(p, c.chunk)
	c.chunk = c.chunk[n:]
	c.in.pos.Add(int64(n))
	return n, nil
}

func (c *compared) readChunk() {
	n, err := io.ReadFull(c.r, c.buf[:])
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	c.chunk, c.err = c.buf[:n], err
	var sum [8]byte
	whole := sha256.Sum256(c.chunk)
	copy(sum[:], whole[:])
	switch {
	case c.was == nil:
		if n > 0 {
			c.now.chunks = append(c.now.chunks, sum)
			c.whole.Write(sum[:])
		}
		if err == io.EOF {
			c.now.whole = hex.EncodeToString(c.whole.Sum(nil))
			c.in.first = c.now
		}
	case n == 0 && err == io.EOF && c.next == len(c.was.chunks):
	case c.next >= len(c.was.chunks), c.was.chunks[c.next] != sum:
		c.chunk, c.err = nil, errChanged
	case n > 0 && err == io.EOF && c.next+1 != len(c.was.chunks):
		c.chunk, c.err = nil, errChanged
	}
	c.next++
}
