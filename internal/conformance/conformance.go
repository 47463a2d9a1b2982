// Package conformance holds what every framework must do with Tokenwell mounted in
// it: one suite, run by the tests of each adapter and of package core, over an
// application with the same routes everywhere.
package conformance

import (
	"context"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/tokenwell/tokenwell/core"
)

// Context is what a handler is given, whatever the framework: an adapter's
// Context is one.
type Context interface {
	context.Context
	GetUserAccessToken(opts ...core.TokenOption) (*core.Token, error)
	GetClientAccessToken(opts ...core.TokenOption) (*core.Token, error)
	HTTPClient(name string) *http.Client
	User() (*core.User, error)
}

// Route is a page of the application, at a path below the framework's prefix, for
// every method.
type Route struct {
	Path         string
	RequireLogin bool
	Handle       func(c Context, w http.ResponseWriter, r *http.Request) error
}

// Setup is what an application is to be made of.
type Setup struct {
	Source core.ManagerSource
	Routes []Route
	// SessionFault is what the store of browser sessions fails with, each time that
	// it is asked for one; nil: it works.
	SessionFault func() error
}

// Framework is a way to build an application.
type Framework struct {
	// Mount builds an application with the adapter's own Mount, or what stands for
	// it, at Prefix, and the routes below it. "/" is a page of status 200 that has
	// nothing to do with Tokenwell if no route is there.
	Mount func(t *testing.T, s Setup) http.Handler
	// Prefix is that of the group in which all is mounted; "": none.
	Prefix string
	// Keep puts a value into the browser's session, beside Tokenwell's own, and saves
	// it the way programs of that framework do; with an empty value it deletes the
	// session's cookie.
	Keep func(c Context, w http.ResponseWriter, r *http.Request, value string) error
	// Kept returns the value that Keep has put there.
	Kept func(c Context, r *http.Request) string
	// Cookie is the name of the session's cookie.
	Cookie string
}

// Run runs the suite, each test with an application of its own.
func Run(t *testing.T, f Framework) {
	t.Helper()
	for _, test := range tests() {
		t.Run(nameOf(test), func(t *testing.T) {
			t.Parallel()
			test(t, f)
		})
	}
}

func tests() []func(*testing.T, Framework) {
	var all []func(*testing.T, Framework)
	for _, part := range [][]func(*testing.T, Framework){
		loginTests, callbackTests, sessionTests, logoutTests, errorTests, requestTests, clientTests, tenantTests,
	} {
		all = append(all, part...)
	}
	return all
}

// nameOf makes "LoginComesBack" of the function loginComesBack.
func nameOf(test func(*testing.T, Framework)) string {
	name := runtime.FuncForPC(reflect.ValueOf(test).Pointer()).Name()
	name = name[strings.LastIndexByte(name, '.')+1:]
	return strings.ToUpper(name[:1]) + name[1:]
}
