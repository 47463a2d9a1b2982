package arch

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// preludeImports are those of every fragment; %s is gorilla's or gin-contrib's.
const preludeImports = `import (
	"context"; "crypto"; "database/sql"; "encoding/json"; "errors"; "fmt"; "io"; "log"; "log/slog"; "net/http"
	"net/http/httptest"; "net/url"; "os"; "strings"; "sync"; "testing"; "time"

	"github.com/gin-contrib/sessions/cookie"
	"github.com/gin-gonic/gin"
	"github.com/labstack/echo/v4"
	"github.com/redis/rueidis"
	"golang.org/x/oauth2"
	sessions %q

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
	"github.com/tokenwell/tokenwell/echoadapter"
	"github.com/tokenwell/tokenwell/ginadapter"
	"github.com/tokenwell/tokenwell/store"
	"github.com/tokenwell/tokenwell/store/redisstore"
	"github.com/tokenwell/tokenwell/store/storetest"
)
`

// preludeVars are what the body of a function finds; %s are the framework's.
const preludeVars = `ctx context.Context, cfg core.Config, m *core.Manager, mux *http.ServeMux,
	w http.ResponseWriter, t *testing.T, authKey, encryptionKey []byte, open core.SessionFunc, %s`

var (
	namesEcho = regexp.MustCompile(`\b(echo|echoadapter|e)\b`)
	namesGin  = regexp.MustCompile(`\b(gin|ginadapter)\b`)
)

// prelude returns what a fragment sees: its imports, and the variables of a body.
func prelude(code string) (imports, vars string) {
	framework, sessions := "e *echo.Echo, r *http.Request, c *ginadapter.Context", "github.com/gin-contrib/sessions"
	switch {
	case namesEcho.MatchString(code):
		framework, sessions = "e *echo.Echo, r *http.Request, c *echoadapter.Context", "github.com/gorilla/sessions"
	case namesGin.MatchString(code):
		framework = "r *gin.Engine, c *ginadapter.Context"
	}
	return fmt.Sprintf(preludeImports, sessions), fmt.Sprintf(preludeVars, framework)
}

func TestDocsCompile(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []block
	for _, name := range append(pages, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, goBlocks(strings.TrimPrefix(filepath.ToSlash(name), root+"/"), string(text))...)
	}
	for _, err := range compile(blocks) {
		t.Error(err)
	}
}

func TestDocsMistakesAreSeen(t *testing.T) {
	pages := map[string]struct {
		text string
		want string // how the only error begins; "": none
	}{
		"file.md":          {"```go\npackage main\n\nimport \"os\"\n\nfunc main() { os.Exit(0) }\n```", ""},
		"import.md":        {"```go\npackage main\n\nimport \"os\"\n\nfunc main() {}\n```", `import.md:4: "os" imported and not used`},
		"body.md":          {"```go\ntok, err := m.GetUserAccessToken(ctx)\nif err != nil {\n\treturn err\n}\n```", ""},
		"wrong.md":         {"# Page\n\n```go\ntok, err := m.GetUserToken(ctx)\n```", "wrong.md:4: m.GetUserToken undefined"},
		"shared.md":        {"```go\ntype orders struct{ http *http.Client }\n```\n\n```go\no := orders{m.HTTPClient(\"orders\")}\n```", ""},
		"declaration.md":   {"```go\nfunc f() int { return \"\" }\n```", `declaration.md:2: cannot use ""`},
		"ownimports.md":    {"```go\nimport \"net/netip\"\n\nvar a netip.Addr\n```", ""},
		"nogo.md":          {"```go\n\ntok, err := ...\n```", "nogo.md:3: expected operand"},
		"gin.md":           {"```go\nr.GET(\"/\", ginadapter.RequireLogin())\nc.JSON(200, nil)\n```", ""},
		"echo.md":          {"```go\ne.Use(echoadapter.RequireLogin())\nreturn c.JSON(200, nil)\n```", ""},
		"list.md":          {"1. First\n\n   ```go\n   m.Nothing()\n   ```", "list.md:4: m.Nothing undefined"},
		"otherlanguage.md": {"```sh\ngo get it\n```", ""},
	}
	var blocks []block
	for name, p := range pages {
		blocks = append(blocks, goBlocks(name, p.text)...)
	}
	errs := compile(blocks)
	for name, p := range pages {
		var got []string
		for _, err := range errs {
			if strings.HasPrefix(err.Error(), name+":") {
				got = append(got, err.Error())
			}
		}
		if p.want == "" && len(got) > 0 || p.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], p.want)) {
			t.Errorf("%s: errors %q, want %q", name, got, p.want)
		}
	}
}

// block is one Go block of a page.
type block struct {
	page string
	line int // of the first line of code
	code string
}

func goBlocks(page, text string) []block {
	var blocks []block
	var open *block
	for i, line := range strings.Split(text, "\n") {
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		switch {
		case open != nil && fence:
			blocks, open = append(blocks, *open), nil
		case open != nil:
			open.code += line + "\n"
		case fence && strings.TrimSpace(line) == "```go":
			open = &block{page: page, line: i + 2}
		}
	}
	return blocks
}

// unit is what is compiled together: a whole file, or the fragments of a page.
type unit struct {
	files     []*ast.File
	fragments bool
}

func compile(blocks []block) []error {
	var (
		errs    []error
		units   []*unit
		pages   = map[string]*unit{}
		imports []string
		fset    = token.NewFileSet()
	)
	for _, b := range blocks {
		file, whole, err := b.parse(fset)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, spec := range file.Imports {
			if path, err := strconv.Unquote(spec.Path.Value); err == nil && !slices.Contains(imports, path) {
				imports = append(imports, path)
			}
		}
		if whole {
			units = append(units, &unit{files: []*ast.File{file}})
			continue
		}
		if pages[b.page] == nil {
			pages[b.page] = &unit{fragments: true}
			units = append(units, pages[b.page])
		}
		pages[b.page].files = append(pages[b.page].files, file)
	}
	if len(units) == 0 {
		return errs
	}
	p, err := load(imports...)
	if err != nil {
		return append(errs, err)
	}
	for _, u := range units {
		cfg := types.Config{Importer: p, Error: func(err error) {
			var wrong types.Error
			// A soft error is something that is not used.
			if !errors.As(err, &wrong) || !wrong.Soft || !u.fragments {
				errs = append(errs, err)
			}
		}}
		_, _ = cfg.Check("docs", fset, u.files, nil)
	}
	return errs
}

// parse tries what b can be: a file, declarations, the body of a function. Positions
// are those on the page.
func (b block) parse(fset *token.FileSet) (file *ast.File, whole bool, err error) {
	code := fmt.Sprintf("//line %s:%d\n%s", b.page, b.line, b.code)
	parse := func(src string) (*ast.File, error) {
		file, err := parser.ParseFile(fset, "", src, parser.SkipObjectResolution)
		return file, firstOf(err)
	}
	switch first := firstWord(b.code); first {
	case "package":
		file, err = parse(code)
		return file, true, err
	case "import":
		file, err = parse("package docs\n" + code)
		return file, false, err
	default:
		imports, vars := prelude(b.code)
		if file, err = parse("package docs\n" + imports + code); err == nil {
			return file, false, nil
		}
		body, bodyErr := parse("package docs\n" + imports + "func _(" + vars + ") error {{\n" + code + "}\nreturn nil }\n")
		if bodyErr == nil || first != "func" && first != "type" {
			err = bodyErr
		}
		return body, false, err
	}
}

// firstWord skips comments.
func firstWord(code string) string {
	for line := range strings.Lines(code) {
		if words := strings.Fields(line); len(words) > 0 && !strings.HasPrefix(words[0], "//") {
			return words[0]
		}
	}
	return ""
}

// firstOf drops what is wrong only because of the first error.
func firstOf(err error) error {
	if all, ok := errors.AsType[scanner.ErrorList](err); ok {
		return all[0]
	}
	return err
}
