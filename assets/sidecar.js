// What the pages do beyond what they do without scripts: the login in a window of its own, and
// pages that follow what happens elsewhere. What happened is always asked of the server: the window
// that Salesforce takes over is out of reach (Cross-Origin-Opener-Policy).
"use strict";

// Times as people here write them.
for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.dateTime);
  time.textContent = at.toLocaleString(document.documentElement.lang, {
    dateStyle: "medium", timeStyle: "short",
  });
}

// Link and Relink.
for (const form of document.querySelectorAll("form[data-login]")) {
  const button = form.querySelector("button[type=submit]");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    // Opened at once: later, browsers take it for unasked.
    const login = window.open("", "_blank", "popup,width=560,height=760");
    try {
      const answer = await fetch(form.action, {
        method: "POST",
        headers: { Accept: "application/json" },
        body: new URLSearchParams(new FormData(form)),
      });
      const next = await answer.json();
      if (next.login && !login) return offer(form, next);
      if (next.login) login.location.replace(next.login);
      else login?.close();
      location.assign(next.page);
    } catch {
      // Whatever it was, the server's own page says it.
      login?.close();
      form.submit();
    } finally {
      button.removeAttribute("aria-disabled");
    }
  });
}

// The browser opened no window: a plain link does.
function offer(form, next) {
  const blocked = form.querySelector(".blocked");
  const link = blocked.querySelector("a");
  link.href = next.login;
  link.addEventListener("click", () => setTimeout(() => location.assign(next.page)));
  blocked.hidden = false;
  link.focus();
}

// Follows the account, or a login.
const main = document.querySelector("main");
if (main.dataset.follow) {
  const events = new EventSource(main.dataset.follow);
  events.addEventListener("standing", (event) => {
    if (event.data === main.dataset.seen) return;
    events.close();
    location.replace(location.pathname);
  });
  events.addEventListener("waiting", (event) => {
    for (const shown of document.querySelectorAll("[data-waiting]")) shown.textContent = event.data;
  });
  addEventListener("pagehide", () => events.close());
}

// A window that came back from Salesforce closes, if another one follows its login.
const windows = new BroadcastChannel("logins");
const login = main.dataset.loginId;
if (main.dataset.returned !== undefined) {
  windows.onmessage = (event) => {
    if (event.data === `followed ${login}`) window.close();
  };
  let asked = 0;
  const asking = setInterval(() => {
    windows.postMessage(`returned ${login}`);
    if (++asked === 20) clearInterval(asking);
  }, 250);
} else {
  if (login) sessionStorage.setItem("followed", login);
  windows.onmessage = (event) => {
    const followed = sessionStorage.getItem("followed");
    if (followed && event.data === `returned ${followed}`) windows.postMessage(`followed ${followed}`);
  };
}
