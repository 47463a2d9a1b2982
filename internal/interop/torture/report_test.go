package torture

import (
	"fmt"
	"runtime"
	"strings"
	"time"
)

// document is docs/torture.md: what came of all trials.
func document(rows []row) string {
	var doc strings.Builder
	fmt.Fprintf(&doc, `# The rotation torture

Real processes of one application share one user's session, whose provider gives a new refresh token with each refresh and ends the
session when an old one comes again. In each case the access token expires (or is about to), every process asks for it at the same
time with all its callers, and something goes wrong in the middle of the refresh. Then everything is healed, and the session has to
survive two more expiries.

    make torture    # wrote this page, on %s, %d cores

*Lost*: the session did not survive. *Reused*: refresh tokens that the provider got twice. *Refreshes*: those that it granted, one for
each expiry being right. *Failed callers*: those who got an error, among all callers of all expiries; where the old token is alive there must
be none. The caller's patience is a minute. The shorter run, `+"`make torture-short`"+`, is part of the continuous integration and fails on every number that
is not excused below.

%s
`, time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), table(rows, false))
	if excused := table(rows, true); strings.Count(excused, "\n") > 2 {
		fmt.Fprintf(&doc, `
## What no client can prevent

The only copy of a new refresh token can be lost with the process or the answer that held it, and a process that is stopped in the
middle of a send cannot know that another has taken over. What is left is to serve the old access token for as long as it lives, which is
what happens, and to say that the user has to sign in again, rather than to send a consumed token while a live one would be revoked with it.

%s
`, excused)
	}
	return doc.String()
}

// table lists the rows that are excused, or those that are not.
func table(rows []row, excused bool) string {
	var text strings.Builder
	text.WriteString("| store | what happens | processes × callers | expiries | lost | reused | refreshes | failed callers | worst wait |")
	if excused {
		text.WriteString(" why |")
	}
	text.WriteString("\n|---|---|---|---|---|---|---|---|---|")
	if excused {
		text.WriteString("---|")
	}
	for _, r := range rows {
		if r.twice != excused {
			continue
		}
		fmt.Fprintf(&text, "\n| %s | %s | %d × %d | %d | %s | %d | %d | %d | %s |", r.store, r.name,
			r.processes, r.callers, r.expiries, r.outcome(), r.reused, r.refreshes, r.failed, r.worst.Round(10*time.Millisecond))
		if excused {
			fmt.Fprintf(&text, " %s |", r.excuse)
		}
	}
	return text.String()
}

func (r row) outcome() string {
	switch {
	case r.logout && r.lost > 0:
		return "NOT ENDED"
	case r.logout:
		return "ended"
	}
	return fmt.Sprint(r.lost)
}
