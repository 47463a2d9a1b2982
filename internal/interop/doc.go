// Package interop holds Tokenwell against programs that others wrote: OpenID Providers, a web browser. It is a module of
// its own, so that nobody who imports Tokenwell downloads what its tests need. README.md tells what is run and why.
package interop
