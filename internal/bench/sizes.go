package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// binarySize is that of the smallest program that merges a profile.
type binarySize struct {
	name   string
	folder string // below minimal
	bytes  int64
}

// binarySizes builds the programs below minimal.
func binarySizes(ctx context.Context, progress io.Writer) ([]binarySize, error) {
	out, err := os.MkdirTemp("", "courier-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(out)
	sizes := []binarySize{
		{name: "net/http", folder: "nethttp"},
		{name: "net/http and encoding/json", folder: "json"},
		{name: thisOne, folder: "courier"},
	}
	for i, s := range sizes {
		fmt.Fprintf(progress, "building minimal/%s\n", s.folder)
		binary := filepath.Join(out, s.folder)
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w",
			"-o", binary, "./minimal/"+s.folder)
		text, err := build.CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("build minimal/%s in internal/bench: %w\n%s", s.folder, err, text)
		}
		info, err := os.Stat(binary)
		if err != nil {
			return nil, err
		}
		sizes[i].bytes = info.Size()
	}
	return sizes, nil
}
