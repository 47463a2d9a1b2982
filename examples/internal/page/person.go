package page

import (
	"strings"
	"unicode/utf8"
)

// Person is who is signed in, as the ID token says.
type Person struct {
	Name string `json:"name"`
}

// Initials stand in for a portrait: of the first and the last name.
func (p Person) Initials() string {
	words := strings.Fields(p.Name)
	switch len(words) {
	case 0:
		return "?"
	case 1:
		return initial(words[0])
	default:
		return initial(words[0]) + initial(words[len(words)-1])
	}
}

func initial(word string) string {
	r, _ := utf8.DecodeRuneInString(word)
	return strings.ToUpper(string(r))
}
