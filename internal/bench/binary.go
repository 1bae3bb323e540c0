package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// program is the smallest program that merges a profile with one contender.
type program struct {
	name string
	dir  string // below minimal

	size, stripped int64 // of the binary, in bytes; stripped is built with -ldflags "-s -w"
	modules        int   // other than the standard library
	packages       int   // that are compiled, including the standard library's
	foreign        int   // those of them that are not the standard library's
}

func programs() []program {
	return []program{
		{name: "net/http, naive", dir: "nethttp"},
		{name: "net/http, a struct", dir: "json"},
		{name: sdkName, dir: "courier"},
		{name: "go-retryablehttp", dir: "retryablehttp"},
		{name: "resty", dir: "resty"},
	}
}

// build builds all programs, in the folder of this module.
func build(ctx context.Context) (_ []program, err error) {
	folder, err := os.MkdirTemp("", "courier-bench-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if removed := os.RemoveAll(folder); err == nil {
			err = removed
		}
	}()
	all := programs()
	for i := range all {
		p := &all[i]
		if p.size, err = p.build(ctx, filepath.Join(folder, p.dir)); err != nil {
			return nil, err
		}
		if p.stripped, err = p.build(ctx, filepath.Join(folder, p.dir+"-stripped"), "-ldflags=-s -w"); err != nil {
			return nil, err
		}
		if err = p.list(ctx); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (p *program) path() string { return "./minimal/" + p.dir }

func (p *program) build(ctx context.Context, binary string, flags ...string) (size int64, err error) {
	args := append([]string{"build", "-trimpath", "-o", binary}, flags...)
	if _, err := goTool(ctx, append(args, p.path())...); err != nil {
		return 0, err
	}
	info, err := os.Stat(binary)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// list counts what is compiled, except for the program itself.
func (p *program) list(ctx context.Context) error {
	out, err := goTool(ctx, "list", "-deps", "-f", "{{.Standard}} {{with .Module}}{{.Path}}{{end}}", p.path())
	if err != nil {
		return err
	}
	modules := map[string]bool{}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for _, line := range lines[:len(lines)-1] {
		p.packages++
		if standard, module, _ := strings.Cut(line, " "); standard == "false" {
			p.foreign++
			modules[module] = true
		}
	}
	p.modules = len(modules)
	return nil
}

func goTool(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "go", args...)
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s(run it in internal/bench, or with go run -C internal/bench .)", strings.Join(args, " "), err, &stderr)
	}
	return string(out), nil
}
