'use strict';

// The server writes all HTML. When something has changed, this script reads the page
// again and replaces the parts that are marked with data-live and differ.

const connection = document.getElementById('connection');
const pause = document.getElementById('pause');
let events = null;
let connected = false;
let paused = false;
let pressed = false; // a mouse button or finger is down
let changed = false; // since the page was last read
let updating = false;
let reading = false;
let readAgain = false;

// update shows what has changed, once nothing keeps it from that: an element that is
// replaced while it is pressed gets no click. It rests for longer than it has worked, so
// that a large page under many requests keeps neither browser nor server busy.
async function update() {
  if (updating) return;
  updating = true;
  while (changed && !paused && !pressed) {
    changed = false;
    const start = performance.now();
    await refresh();
    const rest = 3 * (performance.now() - start);
    await new Promise((resolve) => setTimeout(resolve, rest));
  }
  updating = false;
}

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
      const html = await response.text();
      if (pressed) {
        changed = true;
      } else {
        replaceParts(html);
      }
    } catch {
      setConnected(false);
    }
  } while (readAgain);
  reading = false;
}

function replaceParts(html) {
  const next = new DOMParser().parseFromString(html, 'text/html');
  for (const part of document.querySelectorAll('[data-live]')) {
    if (paused && part.id !== 'detail') continue;
    const newer = next.getElementById(part.id);
    if (!newer) continue;
    for (const details of part.querySelectorAll('details[open]')) {
      newer.querySelector('#' + details.id)?.setAttribute('open', '');
    }
    if (newer.outerHTML === part.outerHTML) continue;
    const focused = part.contains(document.activeElement) ? document.activeElement.id : '';
    const scrolled = part.scrollTop;
    part.replaceWith(newer);
    newer.scrollTop = scrolled;
    if (focused) document.getElementById(focused)?.focus({preventScroll: true});
  }
  if (paused) markCurrent();
}

// markCurrent marks what is shown in a list that stays as it is.
function markCurrent() {
  for (const link of document.querySelectorAll('a[data-show]')) {
    if (link.href === location.href) {
      link.setAttribute('aria-current', 'true');
    } else {
      link.removeAttribute('aria-current');
    }
  }
}

function setConnected(value) {
  connected = value;
  showConnection();
}

function showConnection() {
  let text = 'Not connected. Is courier-fake running?';
  if (connected) text = paused ? 'Paused' : 'Live';
  if (connection.textContent !== text) connection.textContent = text;
}

function connect() {
  if (events) return;
  events = new EventSource('/ui/events');
  events.onopen = () => setConnected(true);
  events.onerror = () => setConnected(false); // it connects again by itself
  events.onmessage = () => {
    changed = true;
    update();
  };
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

pause.hidden = false;
pause.addEventListener('click', () => {
  paused = !paused;
  pause.setAttribute('aria-pressed', paused);
  showConnection();
  update();
});

document.addEventListener('pointerdown', (event) => {
  if (event.button === 0) pressed = true;
});
for (const end of ['pointerup', 'pointercancel', 'blur']) {
  window.addEventListener(end, () => {
    pressed = false;
    update();
  });
}

// Links to a request or a user show it beside the list, which stays where it is.
document.addEventListener('click', async (event) => {
  const link = event.target.closest('a[data-show]');
  if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  history.pushState(null, '', link.href);
  await refresh();
  document.getElementById('detail')?.scrollTo(0, 0);
  document.getElementById('detail-title')?.focus();
});
window.addEventListener('popstate', refresh);

document.addEventListener('submit', (event) => {
  const question = event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});

if (document.visibilityState === 'visible') connect();
