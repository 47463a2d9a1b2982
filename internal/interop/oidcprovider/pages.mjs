// The pages that a user sees. They need neither JavaScript nor a web font: a browser cut off from the network shows them
// at once, and a program can fill them in.

export function escape(text) {
  return String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

function page(title, body) {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)}</title>
<style>
:root { color-scheme: light dark; font-family: system-ui, sans-serif; line-height: 1.5; }
body { max-width: 22rem; margin: 4rem auto; padding: 0 1rem; }
label, input, button { display: block; width: 100%; box-sizing: border-box; font: inherit; }
input { margin: .25rem 0 1rem; padding: .5rem; }
button { margin: .5rem 0; padding: .6rem; }
</style>
</head>
<body>
<main>
<h1>${escape(title)}</h1>
${body}
</main>
</body>
</html>
`;
}

export function loginPage({ action, hint, failed }) {
  return page('Sign in', `${failed ? '<p role="alert">That user name and password do not match.</p>' : ''}
<form id="login" method="post" action="${escape(action)}">
<label for="username">User name</label>
<input id="username" name="username" autocomplete="username" required value="${escape(hint ?? '')}">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<button id="sign-in" type="submit">Sign in</button>
</form>`);
}

export function logoutPage({ form }) {
  return page('Sign out', `${form}
<button id="sign-out" form="op.logoutForm" type="submit" name="logout" value="yes">Yes, sign me out</button>
<button form="op.logoutForm" type="submit">No, stay signed in</button>`);
}

export function signedOutPage() {
  return page('Signed out', '<p>You are signed out.</p>');
}

export function errorPage(out) {
  return page('Something went wrong', Object.entries(out)
    .map(([key, value]) => `<p><strong>${escape(key)}</strong>: ${escape(value)}</p>`).join('\n'));
}
