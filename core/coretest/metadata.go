package coretest

import (
	"net/http"
)

// discovery serves the metadata of OpenID Connect Discovery or of RFC 8414,
// whichever the provider has.
func (p *Provider) discovery(r *request) answer {
	if p.Issuer()+r.URL.Path != p.URL(DiscoveryEndpoint) {
		return answer{status: http.StatusNotFound, body: "404 page not found\n"}
	}
	metadata := map[string]any{
		"issuer":                                         p.Issuer(),
		"authorization_endpoint":                         p.URL(AuthorizationEndpoint),
		"token_endpoint":                                 p.URL(TokenEndpoint),
		"jwks_uri":                                       p.URL(KeysEndpoint),
		"revocation_endpoint":                            p.URL(RevocationEndpoint),
		"userinfo_endpoint":                              p.URL(UserInfoEndpoint),
		"end_session_endpoint":                           p.URL(EndSessionEndpoint),
		"response_types_supported":                       []string{"code"},
		"response_modes_supported":                       []string{"query"},
		"grant_types_supported":                          []string{"authorization_code", "refresh_token", "client_credentials", tokenExchange},
		"subject_types_supported":                        []string{"public"},
		"id_token_signing_alg_values_supported":          []string{p.options.Algorithm},
		"code_challenge_methods_supported":               []string{"S256"},
		"token_endpoint_auth_methods_supported":          []string{"client_secret_basic", "client_secret_post", "none"},
		"revocation_endpoint_auth_methods_supported":     []string{"client_secret_basic", "client_secret_post", "none"},
		"authorization_response_iss_parameter_supported": true,
	}
	if p.options.Metadata != nil {
		p.options.Metadata(metadata)
	}
	return jsonAnswer(http.StatusOK, metadata)
}
