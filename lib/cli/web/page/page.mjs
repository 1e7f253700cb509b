// The page of --web: shows the state that the command sends, and closes connections.
//
//   stream.mjs     reads the states          table.mjs   tables that are changed in place
//   columns.mjs    what the tables show      rates.mjs   rates as bars and lines
//   text.mjs       numbers as text           dom.mjs     elements

import { connectionColumns, endColumns, forwardColumns, fromOf, messageColumns, toOf } from './columns.mjs';
import { byId, isInert, write } from './dom.mjs';
import { Line, Scale, rateText } from './rates.mjs';
import { authorized, follow } from './stream.mjs';
import { Table } from './table.mjs';
import { amount, duration } from './text.mjs';

/** Where the token is kept, so that the page can be loaded again; it ends with the tab. */
const KEY = 'token';
const SECOND = 1000;
/** Milliseconds for which the result of an action is shown. */
const SHOWN = 8000;

const STATES = {
  connecting: 'Connecting',
  connected: 'Connected',
  reconnecting: 'Reconnecting',
  lost: 'Disconnected',
  closing: 'Closing',
  ended: 'Ended',
  away: 'No answer',
};

/** The last state of the command, and by how much its clock is ahead of ours. @type {any} */
let state;
let ahead = 0;
/**
 * What the page knows by itself: the command has `ended`, or is `away` and will be asked again.
 * @type {'ended' | 'away' | undefined}
 */
let own;
/** The time of the next attempt to reach it. */
let nextAttempt = 0;
let following = new AbortController();
let token;

const forwardScale = new Scale();
const connectionScale = new Scale();
const lines = { up: new Line(byId('up-line')), down: new Line(byId('down-line')) };

const forwards = new Table(byId('forwards'), {
  columns: forwardColumns(forwardScale),
  keyOf: ({ kind, from, to }) => `${kind} ${from} ${to}`,
  empty: 'No forwards.',
});
const connections = new Table(byId('connections'), {
  columns: connectionColumns(connectionScale, { act, hasEnded: () => own === 'ended' }),
  keyOf: ({ connectionId }) => connectionId,
  empty: 'No open connections.',
  sorts: true,
});
connections.sortBy(connections.columns[0]);
const ends = new Table(byId('ends'), {
  columns: endColumns(),
  keyOf: ({ connectionId }) => connectionId,
  empty: 'None yet.',
  step: 10,
});
const messages = new Table(byId('messages'), {
  columns: messageColumns(),
  keyOf: ({ at }) => at,
  empty: 'None yet.',
  step: 10,
});

/** The forward that a connection came by. */
function forwardOf({ forwardId }) {
  const found = state.forwardings.find(({ forwardIds }) => forwardIds.includes(forwardId));
  return found === undefined ? '' : `${found.from} → ${found.to}`;
}

/** Tells a screen reader, when it has said everything else. */
const announce = (text) => write(byId('announcement'), text);

function notify(text) {
  byId('notice').hidden = text === undefined;
  write(byId('notice'), text ?? '');
}

// The state

/** Shows a state by its name, and tells it if it is another one. */
function showState(name, words = STATES[name], told = words) {
  byId('session').dataset.state = name;
  if (byId('state').textContent === words) return;
  write(byId('state'), words);
  announce(told);
}

function showSession() {
  const { session, closing, destination } = state;
  const name = own ?? (closing ? 'closing' : session.state);
  const words = STATES[name];
  showState(name, words, name === 'connected' ? `${words} to ${destination}` : words);
  write(byId('destination'), destination);
  document.title = name === 'connected' ? `sshtunnel ${destination}` : `${words}: sshtunnel ${destination}`;
  showTime();
}

/** What changes with time alone. */
function showTime() {
  if (state === undefined) return;
  const { session, closing } = state;
  const now = Date.now() + ahead;
  const parts = [];
  if (own === 'ended') parts.push('this is the last state');
  else if (own === 'away') parts.push(`asked again in ${secondsUntil(nextAttempt, Date.now())} s`);
  else if (closing) parts.push('connections may finish');
  else {
    parts.push(duration(Math.max(0, now - session.since)));
    if (session.nextAttempt !== undefined)
      parts.push(
        `attempt ${session.attempt} ${session.nextAttempt > now ? `in ${secondsUntil(session.nextAttempt, now)} s` : 'now'}`,
      );
  }
  write(byId('since'), parts.join(', '));
}

const secondsUntil = (time, now) => Math.max(0, Math.ceil((time - now) / SECOND));

const sum = (items, member) => items.reduce((total, item) => total + item[member], 0);

function showTotals() {
  const { totals, forwardings, connections: open } = state;
  write(byId('open'), String(open.length));
  write(byId('ended'), String(totals.ended));
  write(byId('failed'), String(totals.failed));
  write(byId('cut'), String(totals.cut));
  write(byId('lost'), amount(totals.lost));
  for (const name of ['failed', 'cut', 'lost']) byId(name).classList.toggle('bad', totals[name] > 0);
  for (const direction of ['up', 'down']) {
    write(byId(direction), rateText(sum(open, `${direction}Rate`)));
    write(byId(`${direction}-sum`), `${amount(sum(forwardings, direction))} in all`);
  }
}

function showConnections() {
  const words = byId('filter').value.toLowerCase().split(/\s+/).filter(Boolean);
  const all = state.connections;
  const found = all.filter((connection) => {
    const text = `#${connection.connectionId} ${fromOf(connection)} ${toOf(connection)} ${forwardOf(connection)}`;
    return words.every((word) => text.toLowerCase().includes(word));
  });
  connectionScale.fit(all.flatMap(({ upRate, downRate }) => [upRate, downRate]));
  connections.show(found);
  write(byId('filtered'), words.length > 0 ? `${found.length} of ${all.length}` : '');
}

function show() {
  byId('main').hidden = false;
  showSession();
  showTotals();
  forwardScale.fit(state.forwardings.flatMap(({ upRate, downRate }) => [upRate, downRate]));
  forwards.show(state.forwardings);
  showConnections();
  ends.show(state.ends);
  messages.show(state.messages.map((message, at) => ({ ...message, at })).reverse());
  write(byId('footer'), `Process ${state.pid}. This page is served by the command itself.`);
}

// Closing

const confirm = byId('confirm');
/** What is done if the answer is yes. */
let confirmed = () => {};

/** @param {'close' | 'reset'} action @param {number} connectionId @param {Element} button */
function act(action, connectionId, button) {
  const connection = state.connections.find((it) => it.connectionId === connectionId);
  if (isInert(button) || connection === undefined) return;
  if (action === 'close') {
    send(action, connectionId);
    return;
  }
  write(byId('confirm-heading'), `Reset connection ${connectionId}?`);
  write(
    byId('confirm-text'),
    `${fromOf(connection)} → ${toOf(connection)}: both ends see a reset, and bytes that have not arrived are lost.`,
  );
  confirmed = () => send(action, connectionId);
  // The focus returns to the button.
  connections.kept = connectionId;
  confirm.showModal();
}

byId('confirm-no').addEventListener('click', () => confirm.close());
byId('confirm-yes').addEventListener('click', () => {
  confirm.close();
  confirmed();
});
confirm.addEventListener('close', () => {
  connections.kept = undefined;
});

/** @param {'close' | 'reset'} action */
async function send(action, connectionId) {
  const headers = { ...authorized(token), 'content-type': 'application/json' };
  try {
    const response = await fetch(`/connections/${connectionId}/${action}`, { method: 'POST', headers, body: '{}' });
    if (!response.ok) throw new Error(await response.text());
    tell(action === 'close' ? `Connection ${connectionId} is closing.` : `Connection ${connectionId} was reset.`);
  } catch (error) {
    tell(`Connection ${connectionId}: ${error.message}`);
  }
}

let told;

/** Shows for a while what came of an action. */
function tell(text) {
  clearTimeout(told);
  write(byId('result'), text);
  told = setTimeout(() => write(byId('result'), ''), SHOWN);
}

// The command

const listener = {
  state(message) {
    ({ state } = message);
    ahead = message.now - Date.now();
    own = undefined;
    notify();
    show();
  },
  end() {
    own = 'ended';
    notify('The command has ended. This is its last state.');
    show();
  },
  lost(delay) {
    own = 'away';
    nextAttempt = Date.now() + delay;
    notify('The command does not answer: it may have ended.');
    if (state === undefined) showState(own);
    else showSession();
  },
  refused() {
    keep(undefined);
    own = 'ended';
    notify('The token of this address is not that of the command: open the address that the command has printed.');
    if (state === undefined) showLocked();
    else show();
  },
};

/** Without a token. */
function showLocked() {
  showState('ended', 'No access', byId('notice').textContent);
}

/** Keeps the token, or forgets it. */
function keep(value) {
  token = value;
  try {
    if (value === undefined) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, value);
  } catch {
    // The browser is set to store nothing.
  }
}

/** The token that was kept before the page was loaded again. */
function kept() {
  try {
    return sessionStorage.getItem(KEY) ?? undefined;
  } catch {
    return undefined;
  }
}

/** Takes the token from the address, where nobody has to see it. */
function begin() {
  const given = new URLSearchParams(location.hash.slice(1)).get('token') ?? undefined;
  if (given !== undefined) history.replaceState(null, '', location.pathname);
  keep(given ?? token ?? kept());
  following.abort();
  following = new AbortController();
  if (token !== undefined) {
    follow(token, listener, following.signal);
    return;
  }
  notify('The token is missing: open the address that the command has printed.');
  showLocked();
}

byId('filter').addEventListener('input', () => state !== undefined && showConnections());
// Another address in the same tab.
window.addEventListener('hashchange', begin);
setInterval(() => {
  showTime();
  if (state === undefined || own !== undefined) return;
  lines.up.push(sum(state.connections, 'upRate'));
  lines.down.push(sum(state.connections, 'downRate'));
}, SECOND);
begin();
