package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// rejects writes the rejected records to a file. It gets its name when the import
// has finished: until then, it is one of the files that end in .part.
type rejects struct {
	path   string
	header string
	file   *os.File // nil before the first record
	w      *bufio.Writer
}

func (r *rejects) add(text string) error {
	if r.file == nil {
		// Only its owner can read it, because it holds personal data.
		file, err := os.OpenFile(r.part(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		r.file, r.w = file, bufio.NewWriter(file)
		if _, err := r.w.WriteString(r.header); err != nil {
			return err
		}
	}
	_, err := r.w.WriteString(text)
	return err
}

func (r *rejects) part() string { return r.path + ".part" }

// finish gives the file its name, or removes the one of an earlier import if there
// are no rejects now.
func (r *rejects) finish() error {
	if r.file == nil {
		for _, path := range []string{r.part(), r.path} { // of a crash, and of -fresh
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return nil
	}
	err := errors.Join(r.w.Flush(), r.file.Sync(), r.file.Close())
	r.file = nil
	if err != nil {
		return err
	}
	return os.Rename(filepath.Clean(r.part()), r.path)
}

// discard removes the file of an import that has not finished: when it resumes,
// the records that were not merged are sent again.
func (r *rejects) discard() {
	if r.file != nil {
		_ = r.file.Close()
		_ = os.Remove(r.part())
	}
}

// hasReasons reports whether the records that were read are those of a file of
// rejects.
func hasReasons(r reader) bool {
	switch r := r.(type) {
	case *csvReader:
		return r.rejects
	case *jsonReader:
		return r.rejects
	}
	return false
}

// checkNew refuses a file that is there already.
func (r *rejects) checkNew() error {
	info, err := os.Stat(r.path)
	if err == nil && info.Size() > 0 {
		return fmt.Errorf("%s exists already, from an earlier import: import it or move it "+
			"away, or use -fresh to overwrite it", r.path)
	}
	return nil
}
