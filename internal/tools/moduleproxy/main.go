// Moduleproxy writes this repository's HEAD as one version of its module into a
// folder for GOPROXY=file://…, as the go command would get it after a release.
//
//	go -C internal/tools run ./moduleproxy -version v0.2.0 -repo ../.. -out FOLDER
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

func main() {
	version := flag.String("version", "", "`version` to write, such as v0.1.0")
	repo := flag.String("repo", ".", "`folder` of the repository")
	out := flag.String("out", "", "`folder` to write to")
	flag.Parse()
	if *version == "" || *out == "" {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*version, *repo, *out); err != nil {
		fmt.Fprintln(os.Stderr, "moduleproxy:", err)
		os.Exit(1)
	}
}

// run writes the files of the module proxy protocol (Go Modules Reference,
// "GOPROXY protocol").
func run(version, repo, out string) error {
	goMod, err := exec.Command("git", "-C", repo, "show", "HEAD:go.mod").Output()
	if err != nil {
		return fmt.Errorf("git show HEAD:go.mod: %w", err)
	}
	this := module.Version{Path: modfile.ModulePath(goMod), Version: version}
	if err := module.Check(this.Path, this.Version); err != nil {
		return err
	}
	escaped, err := module.EscapePath(this.Path)
	if err != nil {
		return err
	}
	committed, err := exec.Command("git", "-C", repo, "log", "-1", "--format=%cI").Output()
	if err != nil {
		return fmt.Errorf("git log: %w", err)
	}
	at, err := time.Parse(time.RFC3339, strings.TrimSpace(string(committed)))
	if err != nil {
		return err
	}
	info, err := json.Marshal(struct {
		Version string
		Time    time.Time
	}{version, at.UTC()})
	if err != nil {
		return err
	}

	folder := filepath.Join(out, filepath.FromSlash(escaped), "@v")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"list":            []byte(version + "\n"),
		version + ".info": info,
		version + ".mod":  goMod,
	} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
			return err
		}
	}
	file, err := os.Create(filepath.Join(folder, version+".zip"))
	if err != nil {
		return err
	}
	if err := zip.CreateFromVCS(file, this, repo, "HEAD", ""); err != nil {
		return err
	}
	return file.Close()
}
