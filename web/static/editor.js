// The editor of playbooks. The field is the browser's own: nothing here ever sets its text while somebody writes in it,
// except for what they asked for (an indent, a suggestion). Colours and marks lie in a layer behind it.

const form = document.getElementById("editor");
const field = document.getElementById("source");
const code = document.getElementById("code");
const ink = code.querySelector(".ink");
const numbers = code.querySelector(".numbers");
const state = document.getElementById("state");
const list = document.getElementById("problem-list");
const popup = document.getElementById("suggestions");
const dialog = document.getElementById("publishing");
let csrf = document.querySelector("meta[name=csrf]")?.content ?? "";
const file = form.dataset.file;
const storageKey = `holdfast:draft:${file}`;
const CHECK_AFTER_MS = 250;
const SUGGEST_AFTER_MS = 180;
const AROUND = 12;

let text = field.value;
let lines = text.split("\n");
let problems = [];
let checkedText = null;
let leaving = false;

const SIGNED_OUT = "You are signed out. Sign in in another window, then try again: your text stays here.";
/** Whoever signed in anew meanwhile has another token: takes it over; whether there is one. */
const renew = async () => {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("meta[name=csrf]")?.content;
  if (answer.redirected || !fresh || fresh === csrf) return false;
  csrf = form.elements.csrf.value = fresh;
  return true;
};
const post = async (where, headers, body, signal, again = true) => {
  const answer = await fetch(where, { method: "POST", signal, headers: { "X-CSRF": csrf, ...headers }, body });
  if (answer.status !== 403 || !again || !(await renew())) return answer;
  if (body instanceof URLSearchParams) body.set("csrf", csrf);
  return post(where, headers, body, signal, false);
};
const api = (path, body, signal) =>
  post(`/api/playbooks/${path}`, { "Content-Type": "application/json", Accept: "application/json" }, JSON.stringify(body), signal);

const tell = (told, tone = "") => {
  state.className = `state ${tone}`;
  if (state.textContent !== told) state.textContent = told;
};

// ---- where things are ----

const lineHeight = 20;
const padding = { top: 10, left: 12 };
let charWidth = 0;
const measure = () => {
  const probe = document.createElement("span");
  probe.textContent = "0".repeat(100);
  ink.append(probe);
  charWidth = probe.getBoundingClientRect().width / 100;
  probe.remove();
};

/** Line and column (from 1) of an offset into the text. */
const placeOf = (offset) => {
  const before = text.slice(0, offset);
  const line = before.split("\n").length;
  return { line, column: offset - before.lastIndexOf("\n") };
};
const offsetOf = (line, column) => {
  const last = Math.min(line, lines.length);
  let offset = 0;
  for (let index = 0; index < last - 1; index++) offset += lines[index].length + 1;
  return offset + Math.min(column - 1, lines[last - 1].length);
};

const jump = (line, column = 1) => {
  const offset = offsetOf(line, column);
  field.focus({ preventScroll: true });
  field.setSelectionRange(offset, offset);
  field.scrollTop = Math.max(0, (line - 1) * lineHeight - field.clientHeight / 3);
  field.scrollLeft = Math.max(0, (column - 1) * charWidth - field.clientWidth * 0.7);
  code.scrollIntoView({ block: "nearest" });
  draw();
};

// ---- colours ----

const TOKENS = [
  ["comment", /#.*$/y],
  ["jinja", /\{\{.*?\}\}|\{%.*?%\}/y],
  ["string", /"(?:[^"\\]|\\.)*"?|'(?:[^']|'')*'?/y],
  ["key", /[A-Za-z_][\w./-]*(?=\s*:(?:\s|$))/y],
  ["number", /-?\d+(?:\.\d+)?(?:[mhdw%])?(?=[\s,\]}]|$)/y],
  ["word", /(?:true|false|null)(?=[\s,\]}]|$)/y],
  ["punct", /[{}[\],:]|-(?=\s|$)/y],
  ["", /[^\s{}[\],:#"']+/y],
];
const BLOCK = /(?:^|[\s:-])[|>][+-]?\d?[+-]?\s*(?:#.*)?$/;

/** [from, to, class] of everything in a line that isn't space. */
const tokens = (line) => {
  const found = [];
  let at = 0;
  while (at < line.length) {
    if (line[at] === " " || line[at] === "\t") { at++; continue; }
    let taken = 0;
    for (const [name, pattern] of TOKENS) {
      if (name === "comment" && at > 0 && !/\s/.test(line[at - 1])) continue;
      pattern.lastIndex = at;
      const match = pattern.exec(line);
      if (!match) continue;
      taken = match[0].length;
      const isKey = name === "string" && /^\s*:(?:\s|$)/.test(line.slice(at + taken));
      if (name) found.push([at, at + taken, isKey ? "key" : name]);
      break;
    }
    at += taken || 1;
  }
  return found;
};

/** For each line whether it lies in a block of text (`|` or `>`). */
let blocks = [];
const findBlocks = () => {
  blocks = new Array(lines.length).fill(false);
  let block = -1;
  lines.forEach((line, index) => {
    const indent = line.search(/\S/);
    if (block >= 0 && (indent < 0 || indent > block)) { blocks[index] = true; return; }
    block = -1;
    if (indent >= 0 && line[indent] !== "#" && BLOCK.test(line) && /[:-]\s/.test(line)) {
      block = indent + (/^(?:-\s+)*/.exec(line.slice(indent))[0].length);
    }
  });
};

/** [from, to, severity] of the problems of a line. */
const marksOf = (number) =>
  problems.filter((one) => one.here && one.line === number).map((one) => {
    const line = lines[number - 1] ?? "";
    const from = Math.min(one.column - 1, Math.max(0, line.trimEnd().length - 1));
    const rest = line.slice(from);
    const word = /^(?:"[^"]*"?|'[^']*'?|[^\s,\]}]+|.)/.exec(rest);
    return [from, from + Math.max(1, word ? word[0].length : 1), one.severity];
  });

const drawLine = (number, current) => {
  const row = document.createElement("div");
  if (number === current) row.className = "current";
  const line = lines[number - 1];
  const shown = line.length > 2000 ? line.slice(0, 2000) : line;
  const spans = blocks[number - 1] ? [[0, shown.length, "block"]] : tokens(shown);
  const marks = marksOf(number);
  const cuts = [...new Set([0, shown.length, ...spans.flat().filter(Number.isInteger), ...marks.flatMap(([a, b]) => [a, b])])]
    .filter((cut) => cut <= shown.length).sort((a, b) => a - b);
  for (let index = 0; index < cuts.length - 1; index++) {
    const [from, to] = [cuts[index], cuts[index + 1]];
    const names = [];
    const span = spans.find(([a, b]) => a <= from && to <= b);
    if (span?.[2]) names.push(span[2]);
    const mark = marks.filter(([a, b]) => a <= from && to <= b).sort((a) => (a[2] === "error" ? -1 : 1))[0];
    if (mark) names.push(`mark-${mark[2]}`);
    if (!names.length) { row.append(shown.slice(from, to)); continue; }
    const piece = document.createElement("span");
    piece.className = names.join(" ");
    piece.textContent = shown.slice(from, to);
    row.append(piece);
  }
  if (marks.some(([a]) => a >= shown.length)) {
    const piece = document.createElement("span");
    piece.className = `mark-${marks[0][2]}`;
    piece.textContent = " ";
    row.append(piece);
  }
  if (!row.childNodes.length) row.append("\u200b");
  return row;
};

const draw = () => {
  const first = Math.max(1, Math.floor(field.scrollTop / lineHeight) + 1 - AROUND);
  const last = Math.min(lines.length, first + Math.ceil(field.clientHeight / lineHeight) + 2 * AROUND);
  const current = document.activeElement === field ? placeOf(field.selectionEnd).line : 0;
  const worst = new Map();
  for (const one of problems) {
    if (one.here && worst.get(one.line) !== "error") worst.set(one.line, one.severity);
  }
  const rows = [], labels = [];
  for (let number = first; number <= last; number++) {
    rows.push(drawLine(number, current));
    const label = document.createElement("div");
    label.textContent = number;
    const names = [];
    if (number === current) names.push("current");
    if (worst.has(number)) names.push(worst.get(number));
    label.className = names.join(" ");
    labels.push(label);
  }
  ink.replaceChildren(...rows);
  numbers.replaceChildren(...labels);
  const down = (first - 1) * lineHeight - field.scrollTop;
  ink.style.transform = `translate(${-field.scrollLeft}px, ${down}px)`;
  numbers.style.transform = `translateY(${down}px)`;
};
let drawing = 0;
const redraw = () => { drawing ||= requestAnimationFrame(() => { drawing = 0; draw(); }); };

// ---- what changes ----

const take = () => {
  const before = lines;
  text = field.value;
  lines = text.split("\n");
  findBlocks();
  // Until the next answer marks stay with their lines, as far as that can be told.
  const moved = lines.length - before.length;
  if (moved && problems.length) {
    let same = 0;
    while (same < before.length && before[same] === lines[same]) same++;
    problems = problems.map((one) => (one.line > same + 1 ? { ...one, line: one.line + moved } : one));
  }
  draw();
};

let checking = null;
let timer = 0;
const check = async () => {
  clearTimeout(timer);
  checking?.abort();
  const asked = text;
  const mine = (checking = new AbortController());
  try {
    const answer = await api("check", { file, source: asked }, mine.signal);
    const told = await answer.json();
    // An answer about an older text says nothing of this one.
    if (asked !== text) return null;
    // Asked too often: it waits as long as it is told to.
    if (answer.status === 429) timer = setTimeout(check, 1000 * (Number(answer.headers.get("Retry-After")) || 5));
    if (answer.status === 401) { tell(SIGNED_OUT, "bad"); return null; }
    if (!answer.ok) { tell(`${told.detail ?? "The check failed."} ${told.remedy ?? ""}`, "bad"); return null; }
    checkedText = asked;
    problems = told.problems;
    showProblems();
    draw();
    return told;
  } catch (error) {
    if (error.name !== "AbortError" && asked === text) tell("The server can't be reached; it will be checked again as you write.", "bad");
    return null;
  }
};
const checkSoon = () => { clearTimeout(timer); timer = setTimeout(check, CHECK_AFTER_MS); };

/** What stands between backticks as code. */
const ticked = (told) => told.split("`").map((part, index) => {
  if (index % 2 === 0) return part;
  const code = document.createElement("code");
  code.textContent = part;
  return code;
});
const count = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
const showProblems = () => {
  const errors = problems.filter((one) => one.severity === "error").length;
  document.getElementById("picture")?.classList.toggle("stale", errors > 0);
  const warnings = problems.length - errors;
  tell(problems.length ? `${count(errors, "error")}, ${count(warnings, "warning")}` : "No problems", errors ? "bad" : "good");
  const fresh = problems.map((one) => {
    const item = document.createElement("li");
    const box = document.createElement(one.here ? "button" : "p");
    if (one.here) { box.type = "button"; box.dataset.line = one.line; box.dataset.column = one.column; }
    box.className = one.severity;
    const say = (name, told) => { const part = document.createElement("span"); part.className = name; part.append(...ticked(told)); box.append(part, " "); };
    say("where", one.here ? `line ${one.line}:${one.column}` : `${one.file.split("/").pop()}:${one.line}:${one.column}`);
    say(`badge ${one.severity}`, one.severity);
    say("what", one.message);
    if (one.hint) say("hint", one.hint);
    say("where", one.code);
    item.append(box);
    return item;
  });
  const same = fresh.length === list.children.length && fresh.every((item, index) => item.isEqualNode(list.children[index]));
  if (same) return;
  const focused = [...list.children].findIndex((item) => item.contains(document.activeElement));
  list.replaceChildren(...fresh);
  if (focused >= 0) (list.children[Math.min(focused, list.children.length - 1)]?.querySelector("button") ?? field).focus();
};
list.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-line]");
  if (button) jump(Number(button.dataset.line), Number(button.dataset.column));
});

// ---- keeping what isn't published ----

const original = field.defaultValue;
const basedOn = form.elements.based_on;
const posted = form.hasAttribute("data-posted");
const isDirty = () => text !== original || posted;
let keeping = 0;
const keep = () => {
  clearTimeout(keeping);
  try {
    if (text === original) sessionStorage.removeItem(storageKey);
    else sessionStorage.setItem(storageKey, JSON.stringify({ text, basedOn: basedOn.value, at: Date.now() }));
  } catch {
    // Without storage a reload loses what was written, and leaving warns of it.
  }
};
const forget = () => { leaving = true; try { sessionStorage.removeItem(storageKey); } catch { /* nothing was kept */ } };

const restore = () => {
  let kept = null;
  try { kept = JSON.parse(sessionStorage.getItem(storageKey) ?? "null"); } catch { /* nothing that can be read */ }
  if (!kept || posted || kept.text === original) return;
  const opened = basedOn.value;
  field.value = kept.text;
  basedOn.value = kept.basedOn;
  const note = document.getElementById("kept");
  note.textContent = "What you hadn't published yet is here again. ";
  if (kept.basedOn !== opened) note.append("The file was changed since; publishing will show you how. ");
  const drop = document.createElement("button");
  drop.type = "button";
  drop.textContent = "Take the file as it is instead";
  drop.addEventListener("click", () => { field.value = original; basedOn.value = opened; note.hidden = true; take(); keep(); check(); field.focus(); });
  note.append(drop);
  note.hidden = false;
};
window.addEventListener("beforeunload", (event) => { if (isDirty() && !leaving) event.preventDefault(); });
window.addEventListener("pagehide", () => { if (!leaving) keep(); });

// ---- suggestions ----

let offered = [];
let offeredFrom = 1;
let active = -1;
let suggesting = 0;
let asked = null;

const hide = () => {
  clearTimeout(suggesting);
  asked?.abort();
  popup.hidden = true;
  offered = [];
  active = -1;
  field.removeAttribute("aria-activedescendant");
};

const choose = (index) => {
  active = index;
  [...popup.children].forEach((item, number) => item.setAttribute("aria-selected", number === index));
  const item = popup.children[index];
  if (item) { field.setAttribute("aria-activedescendant", item.id); item.scrollIntoView({ block: "nearest" }); }
  else field.removeAttribute("aria-activedescendant");
};

const offer = async (wanted) => {
  clearTimeout(suggesting);
  asked?.abort();
  if (field.selectionStart !== field.selectionEnd) return hide();
  const source = text, offset = field.selectionEnd;
  const place = placeOf(offset);
  const mine = (asked = new AbortController());
  let told;
  try {
    const answer = await api("complete", { file, source, ...place }, mine.signal);
    if (!answer.ok) return hide();
    told = await answer.json();
  } catch {
    return undefined;
  }
  if (source !== text || offset !== field.selectionEnd || document.activeElement !== field) return undefined;
  offered = told.suggestions;
  offeredFrom = told.column;
  if (!offered.length) {
    hide();
    if (wanted) tell("Nothing is known to belong here.");
    return undefined;
  }
  popup.replaceChildren(...offered.map((one, index) => {
    const item = document.createElement("li");
    item.id = `suggestion-${index}`;
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", "false");
    const word = document.createElement("span");
    word.textContent = one.word;
    item.append(word);
    if (one.about) { const about = document.createElement("span"); about.className = "about"; about.textContent = one.about.length > 140 ? `${one.about.slice(0, 139)}…` : one.about; item.append(about); }
    return item;
  }));
  popup.hidden = false;
  const box = code.getBoundingClientRect(), sheet = field.getBoundingClientRect();
  const left = sheet.left - box.left + padding.left + (offeredFrom - 1) * charWidth - field.scrollLeft;
  const top = padding.top + place.line * lineHeight - field.scrollTop;
  popup.style.left = `${Math.max(0, Math.min(left, box.width - popup.offsetWidth - 8))}px`;
  const below = top + popup.offsetHeight <= field.clientHeight || top < popup.offsetHeight + lineHeight;
  popup.style.top = `${below ? top : top - lineHeight - popup.offsetHeight}px`;
  choose(wanted ? 0 : -1);
  if (wanted) tell(`${count(offered.length, "suggestion")}; arrows choose, Enter takes.`);
  return undefined;
};

const accept = (index) => {
  const one = offered[index];
  if (!one) return;
  const end = field.selectionEnd;
  const { line } = placeOf(end);
  const start = offsetOf(line, offeredFrom);
  hide();
  field.focus();
  field.setSelectionRange(start, end);
  // What stands behind the caret already needn't be written twice.
  const rest = lines[line - 1].slice(end - offsetOf(line, 1));
  write(rest.startsWith(":") ? one.insert.replace(/:\s*$/, "") : one.insert);
  hide();
};
popup.addEventListener("mousedown", (event) => event.preventDefault());
popup.addEventListener("click", (event) => {
  const item = event.target.closest("li");
  if (item) accept([...popup.children].indexOf(item));
});

// ---- keys ----

/** Writes at the selection as if it were typed, so that it can be undone. */
const write = (told) => {
  const done = told ? document.execCommand("insertText", false, told) : document.execCommand("delete");
  if (!done) { field.setRangeText(told, field.selectionStart, field.selectionEnd, "end"); field.dispatchEvent(new InputEvent("input", { inputType: "insertReplacementText" })); }
};

const indent = (back) => {
  const from = placeOf(field.selectionStart).line, end = placeOf(field.selectionEnd);
  const to = end.line > from && end.column === 1 ? end.line - 1 : end.line;
  if (!back && from === to && field.selectionStart === field.selectionEnd) {
    write(" ".repeat(2 - ((end.column - 1) % 2)));
    return;
  }
  const before = lines.slice(from - 1, to);
  const after = before.map((line) => (back ? line.replace(/^(?: {1,2}|\t)/, "") : line ? `  ${line}` : line));
  if (after.join("\n") === before.join("\n")) return;
  const start = offsetOf(from, 1);
  const column = placeOf(field.selectionStart).column;
  const alone = from === to && field.selectionStart === field.selectionEnd;
  field.setSelectionRange(start, start + before.join("\n").length);
  write(after.join("\n"));
  if (alone) {
    const at = start + Math.max(0, column - 1 - (before[0].length - after[0].length));
    field.setSelectionRange(at, at);
  } else field.setSelectionRange(start, start + after.join("\n").length);
};

let escaped = false;
field.addEventListener("keydown", (event) => {
  if (event.isComposing) return;
  const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
  const open = !popup.hidden;
  if (event.key === "Escape") {
    if (open) hide(); else { escaped = true; tell("Tab leaves the field now."); }
    event.preventDefault();
    return;
  }
  if (open && plain && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    const step = event.key === "ArrowDown" ? 1 : -1;
    choose((active + step + offered.length + (active < 0 && step < 0 ? 1 : 0)) % offered.length);
    event.preventDefault();
    return;
  }
  if (open && plain && !event.shiftKey && ((event.key === "Enter" && active >= 0) || (event.key === "Tab" && !escaped))) {
    accept(Math.max(0, active));
    event.preventDefault();
    return;
  }
  if (event.key === "Tab" && plain) {
    if (escaped) { escaped = false; return; }
    indent(event.shiftKey);
    event.preventDefault();
    return;
  }
  if (event.key !== "Shift") escaped = false;
  if (event.key === "Enter" && plain && !event.shiftKey) {
    // The next line begins where this one does.
    const { line, column } = placeOf(field.selectionStart);
    const start = /^ */.exec(lines[line - 1])[0].slice(0, column - 1);
    hide();
    if (start) { write(`\n${start}`); event.preventDefault(); }
    return;
  }
  if (event.key === " " && event.ctrlKey) { offer(true); event.preventDefault(); }
});
document.addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() === "s" && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey) {
    event.preventDefault();
    openPublishing();
  }
});

field.addEventListener("input", (event) => {
  take();
  checkSoon();
  clearTimeout(keeping);
  keeping = setTimeout(keep, 400);
  const typed = event.inputType === "insertText" && /^[\w]$/.test(event.data ?? "");
  if (typed || (!popup.hidden && event.inputType === "deleteContentBackward")) {
    clearTimeout(suggesting);
    suggesting = setTimeout(() => offer(false), SUGGEST_AFTER_MS);
  } else hide();
});
field.addEventListener("scroll", () => { redraw(); hide(); }, { passive: true });
field.addEventListener("blur", () => { escaped = false; setTimeout(() => { if (document.activeElement !== field) hide(); }, 100); redraw(); });
field.addEventListener("focus", redraw);
document.addEventListener("selectionchange", () => { if (document.activeElement === field) redraw(); });
new ResizeObserver(redraw).observe(field);

// ---- trying out ----

const WAITING = { check: "Checking…", simulate: "Simulating…", plan: "Looking at all customers…", find: "Looking…" };
const swap = (page) => {
  for (const id of ["outcome", "found", "results", "picture"]) {
    const old = document.getElementById(id), fresh = page.getElementById(id);
    if (old && fresh && !old.isEqualNode(fresh)) old.replaceChildren(...fresh.childNodes);
  }
};

let working = false;
const send = async (button) => {
  if (working) return;
  const publishing = button.id === "publish";
  const action = publishing ? "publish" : button.value;
  const fields = new URLSearchParams(new FormData(form));
  if (!publishing) fields.set("action", action);
  working = true;
  button.setAttribute("aria-disabled", "true");
  document.getElementById("results").setAttribute("aria-busy", "true");
  const begun = performance.now();
  const waiting = publishing ? "Publishing…" : WAITING[action];
  tell(waiting);
  const ticking = setInterval(() => tell(`${waiting} ${Math.round((performance.now() - begun) / 1000)} s`), 2000);
  const source = text;
  try {
    const answer = await post(publishing ? button.formAction : form.getAttribute("action"), { Accept: "text/html", "Content-Type": "application/x-www-form-urlencoded" }, fields);
    if (answer.redirected && new URL(answer.url).pathname.startsWith("/sign-in")) {
      tell(SIGNED_OUT, "bad");
      return;
    }
    if (publishing && answer.redirected) { forget(); location.href = answer.url; return; }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!page.getElementById("editor")) { tell(page.querySelector("main p")?.textContent ?? `The server answered ${answer.status}.`, "bad"); dialog?.close(); return; }
    swap(page);
    if (publishing) { basedOn.value = page.querySelector("[name=based_on]").value; dialog.close(); keep(); }
    if ((action === "check" || publishing) && source === text) await check();
    const refused = page.querySelector("#outcome [role=alert], #outcome h2");
    const told = { find: "Found below.", simulate: "Simulated: what would happen is shown beside the text.", plan: "Planned: what would change is shown beside the text." }[action];
    if (refused) tell(refused.textContent, "bad"); else if (told) tell(told);
    if (refused) document.getElementById("outcome").scrollIntoView({ block: "nearest" });
    else if (action === "simulate" || action === "plan") document.getElementById("results").scrollIntoView({ block: "nearest" });
  } catch {
    tell("The server can't be reached. Your text stays here; try again.", "bad");
  } finally {
    clearInterval(ticking);
    working = false;
    button.removeAttribute("aria-disabled");
    document.getElementById("results").removeAttribute("aria-busy");
  }
};
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.submitter) send(event.submitter);
});

const openPublishing = async () => {
  const told = text === checkedText ? { problems } : await check();
  if (!dialog || !told) return;
  const errors = told.problems.filter((one) => one.severity === "error");
  if (errors.length) {
    tell(`${count(errors.length, "error")}: mend ${errors.length === 1 ? "it" : "them"} before it can be published.`, "bad");
    list.querySelector("button")?.focus();
    return;
  }
  if (!dialog.open) dialog.showModal();
  dialog.querySelector("[name=note]").focus();
};
document.getElementById("open-publishing")?.addEventListener("click", openPublishing);
document.getElementById("not-yet")?.addEventListener("click", () => { dialog.close(); field.focus(); });
dialog?.querySelector("[name=note]").addEventListener("keydown", (event) => {
  if (event.key === "Enter") { event.preventDefault(); document.getElementById("publish").click(); }
});

form.querySelector("[name=search]")?.addEventListener("keydown", (event) => {
  if (event.key === "Enter") { event.preventDefault(); form.querySelector("button[value=find]").click(); }
});

// A line of the picture leads into the text beside it; the address of one does from elsewhere.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a.flow-at[data-line]");
  if (link) { event.preventDefault(); jump(Number(link.dataset.line)); }
});
const follow = () => { const line = /^#L(\d{1,6})$/.exec(location.hash); if (line) jump(Number(line[1])); };
window.addEventListener("hashchange", follow);

// The picture follows the text once it is good and rests.
let picturing = 0;
const picture = async () => {
  const asked = text;
  if (working || problems.some((one) => one.severity === "error") || checkedText !== asked) return;
  const fields = new URLSearchParams({ csrf, action: "check", source: asked, based_on: basedOn.value });
  const answer = await post(form.getAttribute("action"), { Accept: "text/html", "Content-Type": "application/x-www-form-urlencoded" }, fields).catch(() => null);
  if (!answer?.ok || asked !== text) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const old = document.getElementById("picture"), fresh = page.getElementById("picture");
  if (old && fresh && !old.contains(document.activeElement)) old.replaceChildren(...fresh.childNodes);
};
if (document.getElementById("picture")) {
  field.addEventListener("input", () => { clearTimeout(picturing); picturing = setTimeout(picture, 1200); });
}

// ---- begin ----

form.classList.add("scripted");
if (dialog) { dialog.close(); dialog.removeAttribute("open"); document.getElementById("open-publishing").hidden = false; document.getElementById("not-yet").hidden = false; }
field.setAttribute("aria-autocomplete", "list");
field.setAttribute("aria-controls", "suggestions");
restore();
measure();
text = field.value;
lines = text.split("\n");
findBlocks();
code.classList.add("lit");
draw();
check();
follow();
