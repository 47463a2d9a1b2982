// What the provider saw, kept in the order in which it happened and told at GET /-/events. Asking for it is synchronous:
// an answer that a client has read is in the list. Tokens appear as digests: enough to tell whether one was sent twice.

import { createHash } from 'node:crypto';

function digest(token) {
  return token ? createHash('sha256').update(token).digest('hex').slice(0, 16) : '';
}

export function eventLog(provider) {
  const events = [];
  const add = (kind, ctx, more) => events.push({
    kind,
    client: ctx.oidc?.client?.clientId ?? '',
    grantType: ctx.oidc?.params?.grant_type ?? '',
    scope: ctx.oidc?.params?.scope ?? '',
    resource: [ctx.oidc?.params?.resource ?? []].flat(),
    refreshToken: digest(ctx.oidc?.params?.refresh_token),
    ...more,
  });

  provider.on('grant.success', (ctx) => add('grant.success', ctx, {
    issued: digest(ctx.body?.refresh_token),
  }));
  provider.on('grant.error', (ctx, err) => add('grant.error', ctx, {
    error: err.error, detail: err.error_detail ?? err.error_description ?? '',
  }));
  provider.on('grant.revoked', (ctx) => add('grant.revoked', ctx, { by: ctx.oidc.route }));
  provider.on('end_session.success', (ctx) => add('end_session.success', ctx));
  provider.on('server_error', (ctx, err) => add('server_error', ctx, { error: err.message, detail: err.stack }));

  return async (ctx, next) => {
    if (ctx.path === '/-/events') {
      if (ctx.method === 'DELETE') events.length = 0;
      ctx.body = events;
      return;
    }
    await next();
    switch (ctx.oidc?.route) {
      case 'revocation':
        add('revocation', ctx, {
          refreshToken: digest(ctx.oidc.params?.token),
          hint: ctx.oidc.params?.token_type_hint ?? '',
          status: ctx.status,
        });
        break;
      case 'introspection':
        add('introspection', ctx, { active: ctx.body?.active === true });
        break;
      default:
    }
  };
}
