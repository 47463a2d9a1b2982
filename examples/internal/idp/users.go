package idp

import "crypto/subtle"

type user struct{ subject, username, password, name, email string }

// Everybody who can sign in. The passwords are public: this provider listens on loopback and guards nothing.
var users = []*user{
	{subject: "u-1001", username: "alice", password: "alice", name: "Alice Marchetti", email: "alice@example.com"},
	{subject: "u-1002", username: "bob", password: "bob", name: "Bob Okafor", email: "bob@example.com"},
}

func findUser(subject string) *user {
	for _, u := range users {
		if u.subject == subject {
			return u
		}
	}
	return nil
}

func checkPassword(username, password string) *user {
	for _, u := range users {
		if u.username == username && subtle.ConstantTimeCompare([]byte(u.password), []byte(password)) == 1 {
			return u
		}
	}
	return nil
}
