// Signing in: one form for user name and password, and consent to everything that was asked for, unasked.

import { errorPage, loginPage } from './pages.mjs';

const form = /^\/interaction\/[^/]+$/;

async function readForm(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  return new URLSearchParams(Buffer.concat(chunks).toString());
}

async function grantFor(provider, { grantId, session, params, prompt: { details } }) {
  const grant = (grantId && await provider.Grant.find(grantId))
    || new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  if (details.missingOIDCScope) grant.addOIDCScope(details.missingOIDCScope.join(' '));
  if (details.missingOIDCClaims) grant.addOIDCClaims(details.missingOIDCClaims);
  for (const [resource, scopes] of Object.entries(details.missingResourceScopes ?? {})) {
    grant.addResourceScope(resource, scopes.join(' '));
  }
  return grant.save();
}

export function interactions(provider, users) {
  return async (ctx, next) => {
    if (!form.test(ctx.path)) {
      await next();
      return;
    }
    ctx.set('Cache-Control', 'no-store');
    ctx.type = 'html';
    let interaction;
    try {
      interaction = await provider.interactionDetails(ctx.req, ctx.res);
    } catch (err) {
      ctx.status = 400;
      ctx.body = errorPage({ error: err.message });
      return;
    }
    if (interaction.prompt.name === 'consent') {
      const consent = { grantId: await grantFor(provider, interaction) };
      ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, { consent }, { mergeWithLastSubmission: true }));
      return;
    }
    let failed = false;
    if (ctx.method === 'POST') {
      const answer = await readForm(ctx.req);
      const user = answer.get('username');
      failed = !(Object.hasOwn(users, user) && users[user] === answer.get('password'));
      if (!failed) {
        const login = { accountId: user };
        ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, { login }));
        ctx.status = 303;
        return;
      }
      ctx.status = 401;
    }
    ctx.body = loginPage({ action: ctx.path, hint: interaction.params.login_hint, failed });
  };
}
