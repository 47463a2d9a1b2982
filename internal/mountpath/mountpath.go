// Package mountpath works out where the adapters mount their handlers: a router
// takes paths relative to its group, a redirect takes whole ones.
package mountpath

import (
	"fmt"
	"strings"
)

// Paths are those of the handlers; "-" is one that is not mounted.
type Paths struct{ Login, Callback, Logout string }

// Relative returns p with its defaults, relative to a router at prefix. callback is
// the path of the redirect URL, "" where there are several managers. It panics, as a
// router does for a path it cannot take, when that is not below prefix: nobody would
// ever arrive.
func (p Paths) Relative(prefix, callback string) Paths {
	if p.Login == "" {
		p.Login = "/login"
	}
	if p.Logout == "" {
		p.Logout = "/logout"
	}
	switch {
	case p.Callback != "":
	case callback == "":
		p.Callback = "/callback"
	default:
		path, ok := strings.CutPrefix(callback, prefix+"/")
		if !ok {
			panic(fmt.Sprintf("tokenwell: the callback %s is not below the group %s: mount there, or set Options.Callback", callback, prefix))
		}
		p.Callback = "/" + path
	}
	return p
}

// Whole returns relative paths as a browser sees them.
func (p Paths) Whole(prefix string) Paths {
	for _, path := range []*string{&p.Login, &p.Callback, &p.Logout} {
		if *path != "-" {
			*path = prefix + *path
		}
	}
	return p
}
