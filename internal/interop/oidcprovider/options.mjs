// The options arrive as one JSON object in OIDC_PROVIDER_OPTIONS; every member has a default.

const defaults = {
  port: 0,
  accessTokenTTL: 4, // seconds
  refreshTokenTTL: 3600, // seconds
  audience: 'urn:orders', // the API that tokens are for when the client names none
  resourceScopes: 'orders catalog',
  accessTokenFormat: 'opaque',
  tokenDelay: 0, // milliseconds that the token endpoint takes; widens the window in which refreshes could race
  users: { alice: 'wonderland', bob: 'builder' },
  redirectURIs: ['http://127.0.0.1/callback'],
  postLogoutRedirectURIs: ['http://127.0.0.1/'],
};

export function readOptions(env) {
  return { ...defaults, ...JSON.parse(env.OIDC_PROVIDER_OPTIONS ?? '{}') };
}

// clientsFor gives one client for each way to authenticate, all with the same redirect URIs, and the API that
// introspects.
export function clientsFor(options) {
  const web = {
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
    response_types: ['code'],
    redirect_uris: options.redirectURIs,
    post_logout_redirect_uris: options.postLogoutRedirectURIs,
  };
  return [
    { ...web, client_id: 'web', client_secret: 'web-secret', token_endpoint_auth_method: 'client_secret_basic' },
    { ...web, client_id: 'web-post', client_secret: 'web-post-secret', token_endpoint_auth_method: 'client_secret_post' },
    {
      ...web,
      client_id: 'public',
      grant_types: ['authorization_code', 'refresh_token'],
      token_endpoint_auth_method: 'none',
    },
    {
      client_id: 'api',
      client_secret: 'api-secret',
      token_endpoint_auth_method: 'client_secret_basic',
      grant_types: [],
      response_types: [],
      redirect_uris: [],
    },
  ];
}
