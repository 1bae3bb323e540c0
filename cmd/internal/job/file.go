package job

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Open opens a file for reading. If it is not there, but in the folder in which go
// run -C was typed, the error says so: relative paths begin in the folder after -C.
func Open(name string) (*os.File, error) {
	file, err := os.Open(name)
	if !errors.Is(err, fs.ErrNotExist) || filepath.IsAbs(name) {
		return file, err
	}
	// The go command leaves the shell's folder here when -C makes it change to another.
	shell := os.Getenv("OLDPWD")
	if shell == "" {
		return nil, err
	}
	if other := filepath.Join(shell, name); exists(other) {
		working, _ := os.Getwd()
		return nil, fmt.Errorf("%w in %s, where relative paths begin; there is %s", err,
			working, Quote(other))
	}
	return nil, err
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
