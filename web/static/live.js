// Keeps a page current: listens to what changes and works the parts of the page that differ into it.
//
// <main data-live>            every change counts; data-live="run task" names the kinds that do
//   data-customer, data-run, data-playbook   the one whom the page is about: only what changes of them counts
// <section data-part="name">  what is kept current; without any, the whole of <main>
// data-keep                   left as it is, whatever comes (a visit, below, goes into it)
// data-visits                 links in it load only what differs of the page; other scripts call visit() for that
//
// A part waits while somebody writes in it, or has a dialog of it open. What hasn't changed isn't touched, so focus,
// selection, scrolling and opened details stay as they are.
// Other scripts may listen on document: "holdfast:change" (detail: the change), "holdfast:swapped" (detail: the part).

const KINDS = [
  "run", "step", "delivery", "task", "reward", "health_changed", "churn_scored", "milestone", "alert", "playbook",
];
// Everything else that the page of one customer or one run shows.
const PAGE = "page";
// More has changed than can be told one by one.
const RELOAD = "reload";
const ABOUT = ["customer", "run", "playbook"];
// A page that hears of many changes is asked for about once a second.
const LEAST_MS = 800;
// A page that gets no stream, as too many are open, is asked for so often, and then tries to get one again.
const POLL_MS = 30000;
// Where many look at the same, not all ask at the same instant: a few readings are shared by all.
const SPREAD_MS = 250;
const main = document.querySelector("main[data-live]");
const live = document.getElementById("live");

const tell = (word, on, link) => {
  if (!live) return;
  live.classList.toggle("on", on);
  if (link) {
    const anchor = document.createElement("a");
    anchor.href = link;
    anchor.textContent = word;
    live.replaceChildren(anchor);
  } else if (live.textContent !== word) {
    live.textContent = word;
  }
};

// ---- moments ----

const UNITS = [["d", 86400], ["h", 3600], ["min", 60]];
const distance = (seconds) => {
  for (const [unit, size] of UNITS) {
    if (Math.abs(seconds) >= size) {
      const told = `${Math.floor(Math.abs(seconds) / size)} ${unit}`;
      return seconds > 0 ? `in ${told}` : `${told} ago`;
    }
  }
  return seconds > 5 ? "in a moment" : "just now";
};
const age = (root) => {
  for (const one of root.querySelectorAll("time[data-ago]")) {
    const told = distance((Date.parse(one.dateTime) - Date.now()) / 1000);
    if (one.textContent !== told) one.textContent = told;
  }
};
setInterval(() => { if (!document.hidden) age(document); }, 20000);

// ---- what the last action told ----

if (document.querySelector("[data-flash], .told") && location.search.includes("told=")) {
  const address = new URL(location.href);
  address.searchParams.delete("told");
  history.replaceState(history.state, "", address);
}

// ---- working a fresh part into the page ----

const FIELDS = "input:not([type=checkbox]):not([type=radio]):not([type=hidden]), textarea, select, [contenteditable=true]";
const isChanged = (field) => {
  if (field.matches("select")) return [...field.options].some((one) => one.selected !== one.defaultSelected);
  return field.value !== field.defaultValue;
};
const isBusy = (part) => {
  const focused = document.activeElement;
  if (focused && part.contains(focused) && focused.matches(FIELDS)) return true;
  if (part.querySelector("dialog[open]") || part.closest("dialog[open]")) return true;
  return [...part.querySelectorAll("input:not([type=checkbox]):not([type=radio]):not([type=hidden]), textarea, select")].some(isChanged);
};

const keyOf = (node) => (node.nodeType === 1 ? node.id || node.dataset.key || null : null);
const isLike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);
// What a person did with these is theirs.
let visiting = false;
const THEIRS = { DETAILS: ["open"], DIALOG: ["open"], INPUT: ["value", "checked"], OPTION: ["selected"] };

const workIn = (old, fresh) => {
  if (old.nodeType !== 1) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  if (old.hasAttribute("data-keep") && !visiting) return;
  const theirs = visiting && old.nodeName !== "DETAILS" && old !== document.activeElement ? [] : THEIRS[old.nodeName] ?? [];
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !theirs.includes(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (name === "value" && old.nodeName === "INPUT" && old.type !== "hidden") old.defaultValue = value;
    else if (!theirs.includes(name) || old.type === "hidden") {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
  }
  workInChildren(old, fresh);
};

const workInChildren = (old, fresh) => {
  const keyed = new Map();
  for (const child of old.childNodes) { const key = keyOf(child); if (key) keyed.set(key, child); }
  let at = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const key = keyOf(wanted);
    let found = null;
    if (key && keyed.has(key) && isLike(keyed.get(key), wanted)) found = keyed.get(key);
    else if (!key && at && isLike(at, wanted)) found = at;
    if (found) {
      // Moving a node takes its focus: go past what is to go, rather than lift the one that stays.
      if (found !== at) {
        if (found.contains(document.activeElement)) {
          while (at && at !== found) { const gone = at; at = at.nextSibling; if (!keyOf(gone)) gone.remove(); else old.append(gone); }
        } else old.insertBefore(found, at);
      }
      at = found.nextSibling;
      workIn(found, wanted);
    } else {
      const added = document.importNode(wanted, true);
      if (added.nodeType === 1 && key && keyed.size) added.classList.add("fresh");
      old.insertBefore(added, at);
    }
  }
  while (at) { const gone = at; at = at.nextSibling; gone.remove(); }
};

// ---- asking for the page anew ----

let source = null;
let timer = null;
let asking = false;
let again = false;
let last = 0;
let pause = LEAST_MS;
let waiting = false;
let over = false;

const signedOut = () => {
  over = true;
  source?.close();
  source = null;
  const next = encodeURIComponent(location.pathname + location.search);
  tell("You are signed out: sign in again", false, `/sign-in?next=${next}`);
};

const swap = (page) => {
  waiting = false;
  const fresh = page.querySelector("main");
  if (!fresh) return;
  const parts = main.querySelectorAll("[data-part]");
  const pairs = parts.length
    ? [...parts].map((part) => [part, fresh.querySelector(`[data-part="${CSS.escape(part.dataset.part)}"]`)])
    : [[main, fresh]];
  for (const [part, other] of pairs) {
    if (!other || !part.isConnected) continue;
    if (isBusy(part)) { waiting = true; continue; }
    part.querySelectorAll(".fresh").forEach((one) => one.classList.remove("fresh"));
    if (part === main) workInChildren(part, other); else workIn(part, other);
    part.removeAttribute("aria-busy");
    document.dispatchEvent(new CustomEvent("holdfast:swapped", { detail: part }));
  }
};

const ask = async () => {
  timer = null;
  if (over || document.hidden || asking) { again = asking; return; }
  asking = true;
  again = false;
  last = performance.now();
  try {
    const asked = location.href;
    const answer = await fetch(asked, { headers: { Accept: "text/html", "X-Live": "1" } });
    if (answer.status === 401 || (answer.redirected && new URL(answer.url).pathname.startsWith("/sign-in"))) signedOut();
    else if (answer.ok) {
      const text = await answer.text();
      // Whoever went to another query meanwhile would be shown the one before under the address of this one.
      if (location.href === asked) swap(new DOMParser().parseFromString(text, "text/html"));
      else again = true;
    }
  } catch {
    // The connection is away: the stream says so, and brings us back.
  }
  // A server that takes long is asked less often.
  pause = Math.max(LEAST_MS, 3 * (performance.now() - last));
  asking = false;
  if (again) changed();
};

// The first change of a quiet page shows at once.
const changed = (afterMs = 0) => {
  if (asking) { again = true; return; }
  timer ??= setTimeout(ask, Math.max(20, afterMs, last + pause - performance.now()));
};
const spread = () => (ABOUT.some((name) => main.dataset[name]) ? 0 : Math.random() * SPREAD_MS);

const connect = () => {
  if (source || over || document.hidden) return;
  const about = new URLSearchParams();
  for (const name of ABOUT) if (main.dataset[name]) about.set(name, main.dataset[name]);
  source = new EventSource(about.size ? `/changes?${about}` : "/changes");
  // From now on nothing is missed: what came between the page's making and this is asked for.
  source.addEventListener("listening", () => { tell("Live", true); changed(spread()); });
  source.onerror = async () => {
    tell("Reconnecting…", false);
    if (source?.readyState !== EventSource.CLOSED) return;
    // Refused rather than cut off: either we are signed out, or the server isn't ready yet.
    source = null;
    const answer = await fetch("/changes", { headers: { Accept: "text/event-stream" }, redirect: "manual" }).catch(() => null);
    answer?.body?.cancel();
    if (answer && (answer.status === 401 || answer.type === "opaqueredirect")) signedOut();
    else if (answer?.status === 429) {
      tell("Every 30 s: you have many pages open", false);
      changed();
      setTimeout(connect, POLL_MS);
    } else setTimeout(connect, 3000);
  };
  const wanted = main.dataset.live ? main.dataset.live.split(/\s+/) : KINDS;
  for (const kind of [...wanted, PAGE, RELOAD]) {
    source.addEventListener(kind, (event) => {
      document.dispatchEvent(new CustomEvent("holdfast:change", { detail: { kind, ...JSON.parse(event.data) } }));
      changed(spread());
    });
  }
};

if (main && window.EventSource) {
  // A browser holds six connections to one server: only the page that is looked at keeps one.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { source?.close(); source = null; } else { age(document); connect(); }
  });
  window.addEventListener("pagehide", () => { source?.close(); source = null; });
  window.addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
  main.addEventListener("focusout", () => { if (waiting) changed(); });
  main.addEventListener("close", () => { if (waiting) changed(); }, true);
  main.addEventListener("toggle", () => { if (waiting) changed(); }, true);
  connect();
}

// ---- going to another query of the same page ----

let leaving = null;

/**
 * Shows another address of the page that is shown, without loading what stays; back leads back. What is `typed` letter
 * by letter is one step for that.
 */
export const visit = async (address, { push = true, typed = false } = {}) => {
  leaving?.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  main?.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(address, { headers: { Accept: "text/html" }, signal });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("main");
    if (!main || !answer.ok || !fresh || (answer.redirected && new URL(answer.url).pathname !== new URL(address, location.href).pathname)) {
      location.assign(address);
      return;
    }
    const shown = answer.redirected ? answer.url : address;
    if (push && typed && history.state?.typed) history.replaceState(history.state, "", shown);
    else if (push) history.pushState({ visited: true, typed }, "", shown);
    document.title = page.title;
    visiting = true;
    workInChildren(main, fresh);
    visiting = false;
    for (const form of main.querySelectorAll("form:not([data-keep])")) {
      for (const field of form.elements) {
        // What is being typed stays; who goes back wants what was there.
        if (push && field === document.activeElement) continue;
        if (field.matches("select")) [...field.options].forEach((one) => { one.selected = one.defaultSelected; });
        else if (field.matches("input[type=checkbox], input[type=radio]")) field.checked = field.defaultChecked;
        else if (field.matches("input, textarea") && field.type !== "hidden") field.value = field.defaultValue;
      }
    }
    document.dispatchEvent(new CustomEvent("holdfast:swapped", { detail: main }));
  } catch (error) {
    if (error.name !== "AbortError") location.assign(address);
    return;
  } finally {
    visiting = false;
    if (!signal.aborted) main?.removeAttribute("aria-busy");
  }
};

document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const anchor = event.target.closest?.("[data-visits] a[href]");
  if (!anchor || anchor.target || anchor.hasAttribute("download")) return;
  const to = new URL(anchor.href);
  if (to.origin !== location.origin || to.pathname !== location.pathname) return;
  event.preventDefault();
  visit(to.pathname + to.search);
});
if (main?.querySelector("[data-visits]")) {
  window.addEventListener("popstate", () => visit(location.pathname + location.search, { push: false }));
}

// ---- what every page may use ----

/** Posts to one of our own addresses, as a form of the page would. */
export const post = (where, fields = {}) =>
  fetch(where, {
    method: "POST",
    headers: { "X-CSRF": document.querySelector("meta[name=csrf]")?.content ?? "", "Content-Type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams(fields),
  });

/** Loads the live parts anew, now. */
export const refresh = () => { last = 0; clearTimeout(timer); timer = null; changed(); };

// A form that was sent says so, and isn't sent twice.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || event.defaultPrevented) return;
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = "yes";
  form.setAttribute("aria-busy", "true");
  setTimeout(() => { delete form.dataset.sent; form.removeAttribute("aria-busy"); }, 8000);
});
