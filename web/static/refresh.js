// Keeps a page current: listens to what changes and loads the page's content anew, never while somebody types.
(() => {
  const main = document.querySelector("main[data-live]");
  if (!main || !window.EventSource) return;
  const live = document.getElementById("live");
  let source = null;
  let timer = null;

  const typing = () => {
    const field = document.activeElement;
    if (field && main.contains(field) && field.matches("input, textarea, select")) return true;
    return [...main.querySelectorAll("textarea, input")].some((input) => input.value !== input.defaultValue);
  };

  const refresh = async () => {
    timer = null;
    if (typing() || document.hidden) return;
    const open = new Set([...main.querySelectorAll("details")].map((one, index) => (one.open ? index : -1)));
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
    if (!answer || !answer.ok || typing()) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("main");
    if (!fresh) return;
    main.replaceChildren(...fresh.childNodes);
    [...main.querySelectorAll("details")].forEach((one, index) => { one.open = open.has(index); });
  };

  const changed = () => { timer ??= setTimeout(refresh, 400); };

  const connect = () => {
    if (source || document.hidden) return;
    source = new EventSource("/changes");
    source.onopen = () => { live.textContent = "live"; live.className = "live on"; };
    source.onerror = () => { live.textContent = "reconnecting"; live.className = "live"; };
    for (const kind of ["run", "step", "delivery", "task"]) source.addEventListener(kind, changed);
  };

  // A browser holds six connections to one server: only the page that is looked at keeps one.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { source?.close(); source = null; } else { connect(); changed(); }
  });
  connect();
})();
