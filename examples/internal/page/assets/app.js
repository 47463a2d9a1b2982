// Keeps the gauge moving and the list fresh. Without it the page shows the same things, as they were when it loaded.

const byId = (id) => document.getElementById(id);
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const card = byId("token");
const state = byId("state");
const gauge = byId("gauge");
const level = byId("level");

let lifetime = Number(gauge.getAttribute("aria-valuemax"));
let end = performance.now() + 10 * parseFloat(level.getAttribute("width")) * lifetime;
let told = null;

function draw() {
	const left = Math.max(0, Math.min(lifetime, (end - performance.now()) / 1000));
	const seconds = Math.ceil(left);
	level.setAttribute("width", `${(100 * left) / lifetime}%`);
	if (seconds === told) return;
	told = seconds;
	byId("seconds").textContent = seconds;
	gauge.setAttribute("aria-valuenow", seconds);
	gauge.setAttribute("aria-valuetext", `${seconds} seconds of ${lifetime}`);
}

function animate() {
	draw();
	if (calm.matches) setTimeout(animate, 1000);
	else requestAnimationFrame(animate);
}

function say(text, kind = "") {
	state.textContent = text;
	state.dataset.kind = kind;
}

let settle;

function show(token) {
	lifetime = token.lifetime;
	end = performance.now() + 1000 * token.expires_in;
	byId("refreshes").textContent = token.refreshes;
	const fingerprint = byId("fingerprint");
	if (fingerprint.textContent !== token.fingerprint) {
		fingerprint.textContent = token.fingerprint;
		say("renewed", "renewed");
		card.classList.add("renewed");
		clearTimeout(settle);
		settle = setTimeout(() => {
			say("alive");
			card.classList.remove("renewed");
		}, 2500);
	} else if (state.dataset.kind === "lost") {
		say("alive");
	}
	draw();
}

// A page that is no longer signed in starts over, and so ends at the way in.
async function get(path) {
	const answer = await fetch(path, { headers: { Accept: "application/json" } });
	if (answer.status === 401) {
		location.assign("/");
		return new Promise(() => {});
	}
	if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
	return answer;
}

async function poll() {
	try {
		if (!document.hidden) show(await (await get("/token-status")).json());
	} catch {
		say("no answer", "lost");
	}
	setTimeout(poll, 1000);
}

byId("call").addEventListener("submit", async (event) => {
	event.preventDefault();
	const button = event.submitter;
	button.setAttribute("aria-disabled", "true");
	const list = byId("orders");
	const note = list.querySelector("[role=status]"); // stays in place: a new one would not be read out
	try {
		const answer = document.createElement("template");
		answer.innerHTML = await (await get("/orders")).text();
		list.querySelector("table").replaceWith(answer.content.querySelector("table"));
		note.innerHTML = answer.content.querySelector("[role=status]").innerHTML;
		note.classList.remove("fresh");
		void note.offsetWidth; // restarts the animation
		note.classList.add("fresh");
	} catch {
		note.textContent = "The orders API could not be reached. Try again in a moment.";
	}
	button.removeAttribute("aria-disabled");
});

animate();
poll();
