package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/tokenwell/tokenwell"

// root is the repository's, seen from this package's directory.
const root = "../.."

// pkg is what `go list -deps -export -json` tells of one package. Those of this
// module are parsed and type-checked as well, so that a cached test result depends
// on their files.
type pkg struct {
	ImportPath string
	Dir        string
	Export     string
	Standard   bool
	GoFiles    []string
	Imports    []string
	Deps       []string

	files []*ast.File
	types *types.Package
	info  *types.Info
}

// program is a set of packages with all that they import.
type program struct {
	fset *token.FileSet
	pkgs []*pkg // dependencies first
	path map[string]*pkg
	gc   types.Importer
}

// library loads all packages of the root module, once.
var library = sync.OnceValues(func() (*program, error) { return load("./...") })

func mustLibrary(t *testing.T) *program {
	t.Helper()
	p, err := library()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// own returns the packages of the root module.
func (p *program) own() []*pkg {
	var own []*pkg
	for _, pkg := range p.pkgs {
		if pkg.files != nil {
			own = append(own, pkg)
		}
	}
	return own
}

func goTool(args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, &stderr)
	}
	return out, nil
}

func load(patterns ...string) (*program, error) {
	out, err := goTool(append([]string{
		"list", "-deps", "-export",
		"-json=ImportPath,Dir,Export,Standard,GoFiles,Imports,Deps",
	}, patterns...)...)
	if err != nil {
		return nil, err
	}
	p := &program{fset: token.NewFileSet(), path: map[string]*pkg{}}
	p.gc = importer.ForCompiler(p.fset, "gc", func(path string) (io.ReadCloser, error) {
		if pkg := p.path[path]; pkg != nil {
			return os.Open(pkg.Export)
		}
		return nil, fmt.Errorf("%s is not loaded", path)
	})
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		pkg := new(pkg)
		if err := dec.Decode(pkg); errors.Is(err, io.EOF) {
			return p, nil
		} else if err != nil {
			return nil, err
		}
		p.pkgs = append(p.pkgs, pkg)
		p.path[pkg.ImportPath] = pkg
		if isOwn(pkg.ImportPath) {
			if err := p.check(pkg); err != nil {
				return nil, err
			}
		}
	}
}

// isOwn tells whether a package is of the root module, not of one nested in it.
func isOwn(path string) bool {
	rest, ok := strings.CutPrefix(path, module+"/")
	return ok && !strings.HasPrefix(rest, "examples") && !strings.HasPrefix(rest, "internal/interop")
}

func (p *program) check(pkg *pkg) error {
	for _, name := range pkg.GoFiles {
		file, err := parser.ParseFile(p.fset, filepath.Join(pkg.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		pkg.files = append(pkg.files, file)
	}
	pkg.info = &types.Info{Uses: map[*ast.Ident]types.Object{}}
	cfg := types.Config{Importer: p}
	var err error
	pkg.types, err = cfg.Check(pkg.ImportPath, p.fset, pkg.files, pkg.info)
	return err
}

// Import gives packages of this module from their source, others as compiled.
func (p *program) Import(path string) (*types.Package, error) {
	if pkg := p.path[path]; pkg != nil && pkg.types != nil {
		return pkg.types, nil
	}
	return p.gc.Import(path)
}
