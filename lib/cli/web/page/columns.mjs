// The columns of the page's tables.

import { make, setInert, write } from './dom.mjs';
import { Scale } from './rates.mjs';
import { text } from './table.mjs';
import { LOCAL_CLIENT, amount, clock, place } from './text.mjs';

/** @typedef {import('./table.mjs').Column} Column */

const KINDS = { local: '-L', dynamic: '-D', remote: '-R' };

/** What can be done to a connection. @type {('close' | 'reset')[]} */
const ACTIONS = ['close', 'reset'];

/** The local client of a connection. */
export const fromOf = ({ remoteAddress, remotePort }) =>
  remoteAddress ? place(remoteAddress, remotePort) : LOCAL_CLIENT;

/** The target of a connection; a SOCKS client has not named one yet. */
export const toOf = ({ forwardHost, forwardPort, forwardPath }) =>
  forwardPath ?? (forwardHost ? place(forwardHost, forwardPort) : '');

/** @param {string} label @param {(item: any) => number} of @param {(value: number) => string} [format] @returns {Column} */
const number = (label, of, format = (value) => String(value)) => ({
  label,
  kind: `sum-${label.toLowerCase()}`,
  isNumber: true,
  order: of,
  fill: text((item) => format(of(item))),
});

/** Both rates, as numbers with bars. @param {Scale} scale @returns {Column[]} */
const rates = (scale) => [
  {
    label: 'Up/s',
    isNumber: true,
    kind: 'rate up',
    order: ({ upRate }) => upRate,
    fill: (cell, { upRate }) => scale.fill(cell, upRate),
  },
  {
    label: 'Down/s',
    isNumber: true,
    kind: 'rate down',
    order: ({ downRate }) => downRate,
    fill: (cell, { downRate }) => scale.fill(cell, downRate),
  },
];

/** @param {Scale} scale @returns {Column[]} */
export const forwardColumns = (scale) => [
  {
    label: 'Forward',
    isHeading: true,
    kind: 'name',
    fill: (cell, { kind, from, to, failed }) => {
      if (cell.childElementCount === 0) {
        cell.append(
          make('span', { className: 'flag' }),
          ' ',
          make('span'),
          ' ',
          make('span', { className: 'badge bad' }),
        );
      }
      const [flag, name, badge] = cell.children;
      write(flag, KINDS[kind] ?? kind);
      write(name, `${from} → ${to}`);
      write(badge, failed ? 'failed' : '');
    },
  },
  number('Open', ({ open }) => open),
  number('Ended', ({ ended }) => ended),
  number('Up', ({ up }) => up, amount),
  number('Down', ({ down }) => down, amount),
  ...rates(scale),
];

/**
 * @param {Scale} scale
 * @param {{ act: (action: 'close' | 'reset', connectionId: number, button: any) => void, hasEnded: () => boolean }} actions
 * @returns {Column[]}
 */
export const connectionColumns = (scale, { act, hasEnded }) => [
  {
    label: 'No.',
    isHeading: true,
    kind: 'id',
    order: ({ connectionId }) => connectionId,
    fill: text(({ connectionId }) => String(connectionId)),
  },
  { label: 'From', kind: 'place from', order: fromOf, fill: text(fromOf) },
  { label: 'To', kind: 'place to', order: toOf, fill: text(toOf) },
  {
    label: 'State',
    kind: 'state',
    order: ({ state }) => state,
    fill: text(({ state }) => state),
    gone: (cell) => write(cell, 'ended'),
  },
  { label: 'Since', kind: 'time since', order: ({ since }) => since, fill: text(({ since }) => clock(since)) },
  number('Up', ({ up }) => up, amount),
  number('Down', ({ down }) => down, amount),
  ...rates(scale),
  {
    label: 'Actions',
    kind: 'actions',
    fill: (cell, { connectionId }) => {
      if (cell.childElementCount === 0) {
        for (const action of ACTIONS) {
          const label = `${action[0].toUpperCase()}${action.slice(1)}`;
          const button = make('button', { type: 'button', className: action, textContent: label });
          button.setAttribute('aria-label', `${label} connection ${connectionId}`);
          button.addEventListener('click', () => act(action, connectionId, button));
          cell.append(button);
        }
      }
      for (const button of cell.children) setInert(button, hasEnded());
    },
    gone: (cell) => {
      for (const button of cell.children) setInert(button, true);
    },
  },
];

/** How a connection ended, in a word: closed before both directions had ended is no loss. */
const outcomeOf = ({ outcome, clean }) => (outcome === 'ok' ? (clean ? 'clean' : 'closed') : outcome);

/** The forward of a connection, with the target that a SOCKS client has named. */
function forwardOf({ forwarding = '', target }) {
  const name = forwarding.replace(' -> ', ' → ');
  return target === undefined || name.endsWith(` ${target}`) ? name : `${name} ${target}`.trim();
}

/** The bytes that a target sent and that were not delivered, or are not known to be. */
const lostDown = ({ droppedDown, unconfirmedDown }) => droppedDown + unconfirmedDown;

const lost = (label, of) => ({
  label,
  isNumber: true,
  order: of,
  fill: (cell, item) => {
    write(cell, amount(of(item)));
    cell.classList.toggle('bad', of(item) > 0);
  },
});

/** @returns {Column[]} */
export const endColumns = () => [
  {
    label: 'No.',
    isHeading: true,
    kind: 'id',
    order: ({ connectionId }) => connectionId,
    fill: text(({ connectionId }) => String(connectionId)),
  },
  { label: 'Time', kind: 'time', order: ({ time }) => time, fill: text(({ time }) => clock(time)) },
  { label: 'Forward', kind: 'place', order: forwardOf, fill: text(forwardOf) },
  {
    label: 'How it ended',
    kind: 'reason',
    order: ({ code }) => code,
    fill: (cell, end) => {
      if (cell.childElementCount === 0) cell.append(make('span', { className: 'badge' }), ' ', make('span'));
      const [badge, reason] = cell.children;
      badge.className = `badge ${end.outcome === 'ok' ? 'good' : 'bad'}`;
      write(badge, outcomeOf(end));
      write(reason, `${end.description || end.reason} (${end.code})`);
    },
  },
  number('Up', ({ bytesUp }) => bytesUp, amount),
  number('Down', ({ bytesDown }) => bytesDown, amount),
  lost('Lost up', ({ droppedUp }) => droppedUp),
  lost('Lost down', lostDown),
];

/** @returns {Column[]} */
export const messageColumns = () => [
  { label: 'Time', kind: 'time', fill: text(({ time }) => clock(time)) },
  {
    label: 'Level',
    kind: 'level',
    fill: (cell, { level }) => {
      write(cell, level);
      cell.classList.toggle('bad', level === 'ERROR' || level === 'FATAL');
    },
  },
  {
    label: 'Message',
    kind: 'message',
    fill: text(({ text, count }) => (count > 1 ? `${text} (${count} times)` : text)),
  },
];
