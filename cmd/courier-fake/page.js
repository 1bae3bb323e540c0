'use strict';

// The server writes all HTML. When something has changed, this script reads the page
// again and replaces the parts that are marked with data-live and differ.

const connection = document.getElementById('connection');
let events = null;
let reading = false;
let readAgain = false;

async function refresh() {
  if (reading) {
    readAgain = true;
    return;
  }
  reading = true;
  do {
    readAgain = false;
    try {
      const response = await fetch(location.href);
      replaceParts(await response.text());
    } catch {
      showConnection(false);
    }
  } while (readAgain);
  reading = false;
}

function replaceParts(html) {
  const next = new DOMParser().parseFromString(html, 'text/html');
  for (const part of document.querySelectorAll('[data-live]')) {
    const newer = next.getElementById(part.id);
    if (!newer) continue;
    for (const details of part.querySelectorAll('details[open]')) {
      newer.querySelector('#' + details.id)?.setAttribute('open', '');
    }
    if (newer.outerHTML === part.outerHTML) continue;
    const focused = part.contains(document.activeElement) ? document.activeElement.id : '';
    part.replaceWith(newer);
    if (focused) document.getElementById(focused)?.focus({preventScroll: true});
  }
}

function showConnection(connected) {
  const text = connected ? 'Live' : 'Not connected. Is courier-fake running?';
  if (connection.textContent !== text) connection.textContent = text;
}

function connect() {
  if (events) return;
  events = new EventSource('/ui/events');
  events.onopen = () => showConnection(true);
  events.onerror = () => showConnection(false); // it connects again by itself
  events.onmessage = refresh;
}

// A browser opens few connections to one server, so tabs that nobody sees give theirs back.
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') {
    connect();
  } else if (events) {
    events.close();
    events = null;
  }
});

// Links to a request or a user show it beside the list, which stays where it is.
document.addEventListener('click', async (event) => {
  const link = event.target.closest('a[data-show]');
  if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  history.pushState(null, '', link.href);
  await refresh();
  document.getElementById('detail-title')?.focus();
});
window.addEventListener('popstate', refresh);

document.addEventListener('submit', (event) => {
  const question = event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});

if (document.visibilityState === 'visible') connect();
