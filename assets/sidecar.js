// What the pages do beyond what they do without scripts: the login in a window of its own, and
// pages that follow what happens elsewhere. What happened is always asked of the server: the window
// that Salesforce takes over is out of reach (Cross-Origin-Opener-Policy).
"use strict";

// Times as people here write them.
function localise(part) {
  for (const time of part.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    time.textContent = at.toLocaleString(document.documentElement.lang, {
      dateStyle: "medium", timeStyle: "short",
    });
  }
}
localise(document);

// The secret of an invitation stands behind # in its link. It goes into the form, and out of the
// address and the history.
const secret = document.querySelector("input[data-behind-hash]");
if (secret && location.hash.length > 1) {
  secret.value = location.hash.slice(1);
  secret.closest(".field").hidden = true;
  history.replaceState(null, "", location.pathname);
}

// Copies what a field holds.
for (const button of document.querySelectorAll("button[data-copy]")) {
  const field = document.getElementById(button.dataset.copy);
  const said = button.parentElement.querySelector("[data-copied]");
  button.hidden = false;
  button.addEventListener("click", async () => {
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
    } catch {
      // In a frame that may not; the selected text is copied as by hand.
      document.execCommand("copy");
    }
    said.textContent = said.dataset.copied;
  });
}

// Link and Relink: the login goes into a window of its own, and this one waits for it to begin.
let begun = false;
for (const form of document.querySelectorAll("form[data-login]")) {
  const blocked = form.querySelector(".blocked");
  const choice = form.querySelector("select");
  const domain = form.querySelector("input[type=text]");
  const ask = () => { domain.required = choice.value === "my_domain"; };
  choice.addEventListener("change", ask);
  ask();
  form.addEventListener("submit", (event) => {
    // Without a window of its own, as without scripts.
    if (blocked.contains(event.submitter)) return;
    if (window.open("", "login", "popup,width=560,height=760")) {
      form.target = "login";
      begun = true;
    } else {
      event.preventDefault();
      blocked.hidden = false;
      blocked.querySelector("button").focus();
    }
  });
}

// Shows a part of this page as it is now, and says so to those who hear it.
async function renew(shown) {
  const answer = await fetch(location.pathname);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const now = page.getElementById(shown.id);
  if (!now) return;
  const within = shown.contains(document.activeElement);
  localise(now);
  shown.replaceWith(now);
  if (within) now.focus();
  document.getElementById("renewed").textContent = now.querySelector("[data-said]").textContent;
}

// Follows the account, or a login.
const main = document.querySelector("main");
function follow() {
  const events = new EventSource(main.dataset.follow);
  events.addEventListener("standing", (event) => {
    if (event.data === main.dataset.seen) return;
    events.close();
    location.replace(location.pathname);
  });
  events.addEventListener("preflight", (event) => {
    const shown = document.getElementById("preflight");
    if (shown && event.data !== shown.dataset.asked) renew(shown);
  });
  events.addEventListener("waiting", (event) => {
    for (const shown of document.querySelectorAll("[data-waiting]")) shown.textContent = event.data;
  });
  events.addEventListener("login", (event) => {
    if (begun && event.data !== main.dataset.lastLogin) location.assign(`${main.dataset.logins ?? "/authorizations"}/${event.data}`);
  });
  events.addEventListener("error", () => {
    // Browsers try again by themselves, but not after an answer that is none.
    if (events.readyState === EventSource.CLOSED) setTimeout(follow, 5000);
  });
  // What a form leads to is shown next: nothing may come in between, as an invitation is told once.
  document.addEventListener("submit", (event) => {
    if (!event.defaultPrevented && !event.target.target) events.close();
  });
  addEventListener("pagehide", () => events.close());
}
if (main.dataset.follow) follow();

// A window that came back from Salesforce closes, if it can, and if another one follows its login.
const windows = new BroadcastChannel("logins");
const login = main.dataset.loginId;
if (main.dataset.returned === "linked") {
  // The other window, if there is one, says so.
  window.close();
} else if (main.dataset.returned) {
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
