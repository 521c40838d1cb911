// A backtest that is under way: its part of the page is loaded anew until it is over.

const part = document.getElementById("backtest");

const look = async () => {
  if (document.hidden) return void setTimeout(look, 1000);
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    // One that this server doesn't know (it started anew meanwhile) is told of, too.
    if (answer.ok || answer.status === 404) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("backtest");
      if (fresh) {
        // The button to cancel keeps the focus that it has.
        const focused = part.contains(document.activeElement) && document.activeElement.name;
        part.replaceChildren(...fresh.childNodes);
        if (focused) part.querySelector(`[name="${CSS.escape(focused)}"]`)?.focus();
        if (!fresh.hasAttribute("data-watch")) {
          part.removeAttribute("data-watch");
          part.removeAttribute("aria-busy");
          return;
        }
      } else {
        // Another page came instead: nobody is signed in any more, or the playbook is gone.
        return void location.reload();
      }
    }
  } catch {
    // The server is away for a moment.
  }
  setTimeout(look, 1000);
};

if (part?.hasAttribute("data-watch")) setTimeout(look, 500);
