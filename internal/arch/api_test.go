package arch

import (
	"flag"
	"fmt"
	"go/ast"
	"go/doc"
	"go/token"
	"go/types"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/api.txt anew")

const apiFile = "testdata/api.txt"

// Every line that goes from the file is a promise broken; every line that comes is
// one made.
func TestAPI(t *testing.T) {
	var lines []string
	for _, pkg := range mustLibrary(t).own() {
		if isPublic(pkg) {
			lines = append(lines, api(pkg)...)
		}
	}
	slices.Sort(lines)
	if *update {
		if err := os.WriteFile(apiFile, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(apiFile)
	if err != nil {
		t.Fatal(err)
	}
	pinned := strings.Split(strings.TrimSpace(string(text)), "\n")
	var changes []string
	for _, line := range pinned {
		if !slices.Contains(lines, line) {
			changes = append(changes, "- "+line)
		}
	}
	for _, line := range lines {
		if !slices.Contains(pinned, line) {
			changes = append(changes, "+ "+line)
		}
	}
	if len(changes) > 0 {
		t.Errorf("the public API is not that of %s:\n%s\nif that is meant: go test ./internal/arch -run API -update", apiFile, strings.Join(changes, "\n"))
	}
}

func TestAPIIsDocumented(t *testing.T) {
	p := mustLibrary(t)
	for _, pkg := range p.own() {
		if !isPublic(pkg) {
			continue
		}
		undocumented := func(name, comment string) {
			if strings.TrimSpace(comment) == "" {
				t.Errorf("%s.%s is not documented", pkg.types.Name(), name)
			}
		}
		d, err := doc.NewFromFiles(p.fset, pkg.files, pkg.ImportPath, doc.PreserveAST)
		if err != nil {
			t.Fatal(err)
		}
		funcs := func(prefix string, funcs []*doc.Func) {
			for _, f := range funcs {
				if prefix == "" || !selfExplaining[f.Name] {
					undocumented(prefix+f.Name, f.Doc)
				}
			}
		}
		values := func(values []*doc.Value) {
			for _, v := range values {
				for _, spec := range v.Decl.Specs {
					for _, name := range spec.(*ast.ValueSpec).Names {
						if name.IsExported() {
							undocumented(name.Name, v.Doc+spec.(*ast.ValueSpec).Doc.Text()+spec.(*ast.ValueSpec).Comment.Text())
						}
					}
				}
			}
		}
		funcs("", d.Funcs)
		values(d.Consts)
		values(d.Vars)
		for _, typ := range d.Types {
			undocumented(typ.Name, typ.Doc)
			funcs("", typ.Funcs)
			funcs(typ.Name+".", typ.Methods)
			values(typ.Consts)
			values(typ.Vars)
		}
	}
}

// selfExplaining methods do what the interface that they are for says.
var selfExplaining = map[string]bool{
	"Error": true, "Unwrap": true, "Is": true, "As": true,
	"String": true, "GoString": true, "Format": true, "LogValue": true, "MarshalJSON": true, "MarshalText": true,
	"ServeHTTP": true, "RoundTrip": true,
}

// isPublic tells whether others can import a package.
func isPublic(pkg *pkg) bool { return !strings.Contains(pkg.ImportPath, "/internal/") }

// api lists what a package exports, a line for each name.
func api(pkg *pkg) []string {
	l := lister{pkg: pkg}
	scope := pkg.types.Scope()
	for _, name := range scope.Names() {
		if !token.IsExported(name) {
			continue
		}
		switch o := scope.Lookup(name).(type) {
		case *types.Const:
			typ := l.show(o.Type()) + " "
			if b, ok := o.Type().(*types.Basic); ok && b.Info()&types.IsUntyped != 0 {
				typ = ""
			}
			l.add("const %s %s= %s", name, typ, o.Val().ExactString())
		case *types.Var:
			l.add("var %s %s", name, l.show(o.Type()))
		case *types.Func:
			l.add("func %s%s", name, l.signature(o))
		case *types.TypeName:
			l.typeName(o)
		}
	}
	return slices.Compact(l.lines)
}

type lister struct {
	pkg   *pkg
	lines []string
}

func (l *lister) add(format string, args ...any) {
	l.lines = append(l.lines, strings.TrimPrefix(l.pkg.ImportPath, module+"/")+": "+fmt.Sprintf(format, args...))
}

func (l *lister) typeName(o *types.TypeName) {
	named, ok := o.Type().(*types.Named)
	if !ok || o.IsAlias() {
		l.add("type %s = %s", o.Name(), l.show(types.Unalias(o.Type())))
		return
	}
	switch u := named.Underlying().(type) {
	case *types.Struct:
		l.add("type %s struct", o.Name())
		for f := range u.Fields() {
			if f.Embedded() && f.Exported() {
				l.add("type %s struct, embedded %s", o.Name(), l.show(f.Type()))
			} else if f.Exported() {
				l.add("type %s struct, %s %s", o.Name(), f.Name(), l.show(f.Type()))
			}
		}
	case *types.Interface:
		l.add("type %s interface", o.Name())
		for m := range u.Methods() {
			if m.Exported() {
				l.add("type %s interface, %s%s", o.Name(), m.Name(), l.signature(m))
			} else {
				l.add("type %s interface, unexported methods", o.Name())
			}
		}
	default:
		l.add("type %s %s", o.Name(), l.show(u))
	}
	for m := range named.Methods() {
		if m.Exported() {
			l.add("method (%s) %s%s", l.show(m.Signature().Recv().Type()), m.Name(), l.signature(m))
		}
	}
}

func (l *lister) show(t types.Type) string {
	return types.TypeString(t, func(p *types.Package) string {
		if p == l.pkg.types {
			return ""
		}
		return p.Name()
	})
}

func (l *lister) signature(f *types.Func) string {
	return strings.TrimPrefix(l.show(f.Signature()), "func")
}

// qualifiedName is how the go tool's own documentation would call an object:
// "fmt.Print", "(*net/http.Client).Get".
func qualifiedName(o types.Object) string {
	if f, ok := o.(*types.Func); ok {
		return f.FullName()
	}
	if o.Pkg() == nil || o.Parent() != o.Pkg().Scope() {
		return ""
	}
	return o.Pkg().Path() + "." + o.Name()
}
