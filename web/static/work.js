// The list of work by keyboard, and notes that aren't lost: what is typed stays in this browser until it was taken.

const KEY = "holdfast-draft-";
const articles = () => [...document.querySelectorAll("article.task")];
const current = () => document.activeElement?.closest?.("article.task");
const forms = () => [...document.querySelectorAll("form[data-draft]")];

const restore = () => {
  for (const form of forms()) {
    const kept = sessionStorage.getItem(KEY + form.dataset.draft);
    const notes = form.elements.notes;
    if (kept && notes && !notes.value) {
      notes.value = kept;
      form.closest("details")?.setAttribute("open", "");
    }
  }
};

document.addEventListener("input", (event) => {
  const form = event.target.closest?.("form[data-draft]");
  if (!form || event.target.name !== "notes") return;
  if (event.target.value) sessionStorage.setItem(KEY + form.dataset.draft, event.target.value);
  else sessionStorage.removeItem(KEY + form.dataset.draft);
});

// Whoever was slower than somebody else finds here what they wrote: it isn't kept anywhere else.
const leave = () => {
  const refused = document.querySelector(".told.bad[data-flash]");
  if (!refused) return;
  const open = new Set(forms().map((form) => KEY + form.dataset.draft));
  for (const key of Object.keys(sessionStorage)) {
    if (!key.startsWith(KEY) || open.has(key)) continue;
    const label = document.createElement("label");
    const area = document.createElement("textarea");
    label.textContent = "What you wrote of it, which isn't kept ";
    area.readOnly = true;
    area.rows = 3;
    area.value = sessionStorage.getItem(key);
    label.append(area);
    refused.after(label);
    sessionStorage.removeItem(key);
  }
};

// Work that was closed is on the list no more, and what was typed of it has been taken.
const forget = () => {
  if (location.search.includes("told=") || document.querySelector(".told")?.textContent.startsWith("Noted:")) {
    const open = new Set(forms().map((form) => KEY + form.dataset.draft));
    for (const key of Object.keys(sessionStorage)) {
      if (key.startsWith(KEY) && !open.has(key)) sessionStorage.removeItem(key);
    }
  }
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.target.matches?.("input, textarea, select, [contenteditable=true]") || document.querySelector("dialog[open]")) {
    if (event.key === "Escape") event.target.closest?.("article.task")?.focus();
    return;
  }
  const all = articles();
  const at = all.indexOf(current());
  if (event.key === "j" || event.key === "k") {
    const next = all[event.key === "j" ? Math.min(at + 1, all.length - 1) : Math.max(at - 1, 0)];
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
    event.preventDefault();
    return;
  }
  const task = current();
  if (!task) return;
  if (event.key === "t") {
    const take = task.querySelector("form.take");
    if (take) { event.preventDefault(); take.requestSubmit(); }
  } else if (event.key === "n") {
    const how = task.querySelector("details.how");
    if (how) { event.preventDefault(); how.open = true; how.querySelector("textarea")?.focus(); }
  } else if (event.key === "f") {
    const facts = task.querySelector("details.facts");
    if (facts) { event.preventDefault(); facts.open = !facts.open; }
  }
});

document.addEventListener("holdfast:swapped", restore);
forget();
leave();
restore();
