package arch

import (
	"bytes"
	"encoding/json"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	echo    = "github.com/labstack/echo/v4"
	gin     = "github.com/gin-gonic/gin"
	gorilla = "github.com/gorilla"
	jose    = "github.com/go-jose/go-jose/v4"
	otel    = "go.opentelemetry.io/otel"
)

// floors says what each package may import besides the standard library: a path
// stands for all below it, a short one for a package of ours and only that. A
// package that is missing here has not found its floor yet.
var floors = map[string][]string{
	"store":                   {jose},
	"internal/gorillasession": {gorilla},
	"internal/mountpath":      {},

	"core": {
		"store", "internal/dpop", jose,
		"github.com/cenkalti/backoff/v5", "github.com/coreos/go-oidc/v3", "github.com/maypok86/otter/v2",
		"golang.org/x/oauth2", "golang.org/x/sync",
	},

	"core/coretest":    {"core", "store", jose},
	"core/otelcore":    {"core", otel},
	"echoadapter":      {"core", "internal/gorillasession", "internal/mountpath", echo, gorilla},
	"ginadapter":       {"core", "internal/gorillasession", "internal/mountpath", gin, "github.com/gin-contrib/sessions", gorilla},
	"store/redisstore": {"store", "github.com/redis/rueidis"},
	"store/storetest":  {"store"},
}

// testOnly packages, and those below them, have nothing but tests or what several
// tests share: they import what they like, and no other package imports them.
var testOnly = []string{"internal/arch", "internal/conformance", "internal/model"}

func TestFloors(t *testing.T) {
	p := mustLibrary(t)
	for _, pkg := range p.own() {
		name := strings.TrimPrefix(pkg.ImportPath, module+"/")
		if slices.ContainsFunc(testOnly, func(dir string) bool { return strings.HasPrefix(name+"/", dir+"/") }) {
			continue
		}
		allowed, ok := floors[name]
		if !ok {
			t.Errorf("%s is on no floor: add it to floors_test.go", name)
			continue
		}
		for _, path := range pkg.Imports {
			if dep := p.path[path]; dep != nil && dep.Standard {
				continue
			}
			if !slices.ContainsFunc(allowed, func(a string) bool {
				return path == module+"/"+a || path == a || strings.HasPrefix(path, a+"/")
			}) {
				t.Errorf("%s imports %s", name, path)
			}
		}
	}
}

// What a program must not get through any number of imports.
func TestNeverThrough(t *testing.T) {
	p := mustLibrary(t)
	never := map[string][]string{
		"store":       {gin, echo, gorilla, otel, "testing"},
		"core":        {gin, echo, gorilla, otel, "testing"},
		"ginadapter":  {echo, otel, "testing"},
		"echoadapter": {gin, otel, "testing"},
	}
	for name, paths := range never {
		pkg := p.path[module+"/"+name]
		if pkg == nil {
			t.Errorf("there is no package %s", name)
			continue
		}
		for _, dep := range pkg.Deps {
			for _, path := range paths {
				if dep == path || strings.HasPrefix(dep, path+"/") {
					t.Errorf("%s depends on %s", name, dep)
				}
			}
		}
	}
}

// Whoever imports the library downloads what the library imports, and no more.
func TestModuleRequiresWhatItImports(t *testing.T) {
	p := mustLibrary(t)
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	parseGo(t, &mod, "mod", "edit", "-json")

	forTests := []string{"github.com/google/go-cmp"}
	for _, r := range mod.Require {
		if r.Indirect || slices.Contains(forTests, r.Path) {
			continue
		}
		if !slices.ContainsFunc(p.own(), func(pkg *pkg) bool {
			return slices.ContainsFunc(pkg.Imports, func(path string) bool {
				return path == r.Path || strings.HasPrefix(path, r.Path+"/")
			})
		}) {
			t.Errorf("go.mod requires %s, which no library code imports", r.Path)
		}
	}
}

func TestModules(t *testing.T) {
	var work struct{ Use []struct{ DiskPath string } }
	parseGo(t, &work, "work", "edit", "-json")
	var use []string
	for _, u := range work.Use {
		use = append(use, u.DiskPath)
		var mod struct{ Module struct{ Path string } }
		parseGo(t, &mod, "mod", "edit", "-json", filepath.Join(u.DiskPath, "go.mod"))
		if want := strings.TrimSuffix(module+"/"+strings.TrimPrefix(u.DiskPath, "./"), "/."); mod.Module.Path != want {
			t.Errorf("%s is module %s, want %s", u.DiskPath, mod.Module.Path, want)
		}
	}
	if diff := cmp.Diff([]string{".", "./examples", "./internal/interop"}, use); diff != "" {
		t.Errorf("go.work uses (-want +got)\n%s", diff)
	}
}

// In all three modules.
func TestPackagesAreExplained(t *testing.T) {
	explained := map[string]bool{} // by directory
	for _, name := range goFiles(t) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Error(err)
			continue
		}
		dir := filepath.Dir(name)
		explained[dir] = explained[dir] || file.Doc != nil
	}
	for dir, ok := range explained {
		if !ok {
			t.Errorf("%s: the package has no comment", strings.TrimPrefix(dir, root+"/"))
		}
	}
}

// A longer file usually hides two concepts.
func TestFilesAreShort(t *testing.T) {
	const most = 400
	p := mustLibrary(t)
	for _, pkg := range p.own() {
		for _, file := range pkg.files {
			f := p.fset.File(file.FileStart)
			if n := f.LineCount(); n > most {
				t.Errorf("%s/%s has %d lines, more than %d", strings.TrimPrefix(pkg.ImportPath, module+"/"), filepath.Base(f.Name()), n, most)
			}
		}
	}
}

func TestForbiddenCalls(t *testing.T) {
	const (
		carriesLess = "carries neither context nor DPoP, and no extra parameters"
		realTime    = "is not the configured clock"
		prints      = "prints: a library writes to its Logger"
	)
	everywhere := map[string]string{
		"golang.org/x/oauth2.Transport":                          carriesLess,
		"golang.org/x/oauth2.NewClient":                          carriesLess,
		"(*golang.org/x/oauth2.Config).Exchange":                 carriesLess,
		"(*golang.org/x/oauth2.Config).TokenSource":              carriesLess,
		"(*golang.org/x/oauth2.Config).Client":                   carriesLess,
		"(*golang.org/x/oauth2.Config).PasswordCredentialsToken": carriesLess,
		"fmt.Print":   prints,
		"fmt.Printf":  prints,
		"fmt.Println": prints,
	}
	inCore := map[string]string{"time.Now": realTime, "time.Since": realTime, "time.Until": realTime}
	// The default of the configured clock, and the stopwatch of those who wait.
	clocks := []string{"clock.go", "config.go"}

	p := mustLibrary(t)
	for _, pkg := range p.own() {
		for ident, used := range pkg.info.Uses {
			name := qualifiedName(used)
			why, bad := everywhere[name]
			at := p.fset.Position(ident.Pos())
			if !bad && pkg.ImportPath == module+"/core" && !slices.Contains(clocks, filepath.Base(at.Filename)) {
				why, bad = inCore[name]
			}
			if bad {
				t.Errorf("%s:%d: %s %s", filepath.Base(at.Filename), at.Line, name, why)
			}
		}
	}
}

func parseGo(t *testing.T, into any, args ...string) {
	t.Helper()
	out, err := goTool(args...)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(bytes.NewReader(out)).Decode(into); err != nil {
		t.Fatal(err)
	}
}

// goFiles returns the Go files of the repository, those of nested modules included.
func goFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules"):
			return fs.SkipDir
		case !d.IsDir() && strings.HasSuffix(path, ".go"):
			files = append(files, path)
		}
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return files
}
