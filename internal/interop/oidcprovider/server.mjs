// An OpenID Provider on a free loopback port, as strict as one can be set: PKCE with S256 from everyone, refresh tokens
// that rotate and whose reuse revokes the grant, no tolerance for clocks. It prints {"ready":…} with its issuer on one line
// of standard output, tells at /-/events what it did, and ends when its standard input does.

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';

import Provider from 'oidc-provider';

import { mapAdapter } from './adapter.mjs';
import { eventLog } from './events.mjs';
import { interactions } from './interactions.mjs';
import { clientsFor, readOptions } from './options.mjs';
import { errorPage, logoutPage, signedOutPage } from './pages.mjs';

const options = readOptions(process.env);
const server = createServer();
await new Promise((resolve, reject) => {
  server.once('error', reject);
  server.listen(options.port, '127.0.0.1', resolve);
});
const issuer = `http://127.0.0.1:${server.address().port}`;

const newKey = (type, params) => generateKeyPairSync(type, params).privateKey.export({ format: 'jwk' });

const provider = new Provider(issuer, {
  adapter: mapAdapter(),
  clients: clientsFor(options),
  clockTolerance: 0,
  cookies: { keys: ['loopback only'] },
  scopes: ['openid', 'offline_access', ...options.resourceScopes.split(' ')],
  claims: { openid: ['sub'], profile: ['name'], email: ['email'] },
  // A fetch without the provider's own dispatcher, which refuses loopback: clients' back-channels live there.
  fetch: (url, { dispatcher, ...init }) => fetch(url, init),
  // Keys of its own at each start: the built-in ones are the same everywhere.
  jwks: { keys: [{ ...newKey('rsa', { modulusLength: 2048 }), use: 'sig' }] },
  features: {
    backchannelLogout: { enabled: true },
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    dPoP: {
      enabled: true,
      nonceSecret: Buffer.alloc(32, 1),
      requireNonce: () => options.requireDPoPNonce === true,
    },
    introspection: { enabled: true },
    pushedAuthorizationRequests: {
      enabled: true,
      requirePushedAuthorizationRequests: options.requirePAR === true,
    },
    resourceIndicators: {
      enabled: true,
      defaultResource: (ctx, client, oneOf) => (oneOf ? oneOf[0] : options.audience),
      useGrantedResource: () => true,
      getResourceServerInfo: (ctx, resource) => ({
        audience: resource,
        scope: options.resourceScopes,
        accessTokenFormat: options.accessTokenFormat,
        accessTokenTTL: options.accessTokenTTL,
      }),
    },
    revocation: { enabled: true },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (ctx, form) => { ctx.type = 'html'; ctx.body = logoutPage({ form }); },
      postLogoutSuccessSource: (ctx) => { ctx.type = 'html'; ctx.body = signedOutPage(); },
    },
  },
  findAccount: (ctx, sub) => ({
    accountId: sub,
    claims: () => ({ sub, name: sub, email: `${sub}@example.test` }),
  }),
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  issueRefreshToken: (ctx, client, code) => client.grantTypeAllowed('refresh_token') && code.scopes.has('offline_access'),
  responseTypes: ['code'],
  pkce: { required: () => true },
  renderError: (ctx, out) => { ctx.type = 'html'; ctx.body = errorPage(out); },
  rotateRefreshToken: true,
  ttl: {
    AccessToken: options.accessTokenTTL,
    AuthorizationCode: 60,
    ClientCredentials: options.accessTokenTTL,
    Grant: options.refreshTokenTTL,
    IdToken: 3600,
    Interaction: 600,
    RefreshToken: options.refreshTokenTTL,
    Session: 3600,
  },
});

const log = eventLog(provider);
provider.use(async (ctx, next) => {
  if (options.tokenDelay > 0 && ctx.path === '/token') {
    await new Promise((resolve) => { setTimeout(resolve, options.tokenDelay); });
  }
  await next();
});
provider.use(log);
provider.use(interactions(provider, options.users));

server.on('request', provider.callback());
console.log(JSON.stringify({ ready: issuer }));
process.stdin.resume();
process.stdin.on('close', () => process.exit(0));
