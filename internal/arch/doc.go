// Package arch has no code. Its tests hold the house in shape, with the go tool
// and nothing else:
//
//   - floors_test.go: who may import whom, what the modules require, how long a
//     file may be, which calls nobody makes;
//   - api_test.go: the public API is the one in testdata/api.txt, and all of it is
//     documented;
//   - docs_test.go: every Go block of README.md and docs compiles.
//
// A change of the public API is written down by
//
//	go test ./internal/arch -run API -update
//
// # Go blocks in documentation
//
// A block that starts with "package" is a whole file, and is compiled as it is. Any
// other is a fragment: declarations, or the body of a function that may return an
// error. Fragments see the imports of docs_test.go, unless they start with "import"
// and bring their own; what one of them declares is known to all fragments of its
// page, and what it does not use does no harm. A body finds these variables too:
//
//	ctx context.Context, cfg core.Config, m *core.Manager, open core.SessionFunc,
//	mux *http.ServeMux, w http.ResponseWriter, r *http.Request, t *testing.T,
//	authKey, encryptionKey []byte, e *echo.Echo, c *ginadapter.Context
//
// In a block that names Gin or its adapter, r is a *gin.Engine. In one that names
// Echo, its adapter or e, c is an *echoadapter.Context and package sessions is
// gorilla's; else it is gin-contrib's.
package arch
