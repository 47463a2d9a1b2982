package coretest

import (
	"net/http"
	"slices"
	"strings"
)

const (
	tokenExchange   = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessTokenType = "urn:ietf:params:oauth:token-type:access_token"
)

// exchangeToken gives an access token of its subject's for one of this provider's
// (RFC 8693): for the resources and audiences that are asked for, with the scopes that
// are asked for or else the subject token's, and with the actor's name in it. It ends with the
// subject's grant, and lives as long as any other.
func (p *Provider) exchangeToken(r *request, client string) answer {
	form := r.PostForm
	refuse := func(description string) answer {
		return oauthError(http.StatusBadRequest, "invalid_request", description)
	}
	requested := form.Get("requested_token_type")
	switch {
	case form.Get("subject_token_type") != accessTokenType:
		return refuse("subject_token_type is not that of an access token")
	case form.Has("actor_token") && form.Get("actor_token_type") != accessTokenType:
		return refuse("actor_token_type is not that of an access token")
	case !form.Has("actor_token") && form.Has("actor_token_type"):
		return refuse("an actor_token_type without a token")
	case requested != "" && requested != accessTokenType:
		return refuse("requested_token_type is not that of an access token")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	subject := p.access[form.Get("subject_token")]
	if subject == nil || !subject.live(p.now) {
		return refuse("the subject token is not in force")
	}
	issued := AccessToken{
		Subject:  subject.Subject,
		ClientID: client,
		Scopes:   slices.Clone(subject.Scopes),
		Audience: slices.Concat(form["resource"], form["audience"]),
	}
	if form.Has("scope") {
		issued.Scopes = strings.Fields(form.Get("scope"))
	}
	if form.Has("actor_token") {
		actor := p.access[form.Get("actor_token")]
		if actor == nil || !actor.live(p.now) {
			return refuse("the actor token is not in force")
		}
		issued.Actor = actor.Subject
	}
	fields := p.fields(p.issueAccess(subject.grant, issued))
	fields["issued_token_type"] = accessTokenType
	return jsonAnswer(http.StatusOK, fields)
}
