'use strict';

// Forwards and ends of connections in as few words as there is room for.

const { openFailure } = require('../output/messages.js');
const { plain } = require('../output/text.js');

/** Ends of connections that had been opened; of the others, the reason is told. */
const ENDS = {
  OK: 'closed',
  ECONNABORTED: 'reset by this command',
  ECONNRESET: 'reset by the client',
  ERR_SSH_CHANNEL_CLOSED: 'closed by the remote end',
  ERR_SSH_DISCONNECTED: 'session disconnected',
};
/** Codes whose reasons name methods of the library. */
const OWN = ['OK', 'ECONNABORTED'];

const LOOPBACK = /(?:127\.0\.0\.1|\[::1\]|localhost)(?=:\d)/;

/** Without the loopback address that clients usually connect to, and come from. */
const withoutLoopback = (text) => text.replace(LOOPBACK, '');

/** A forward whose local address is left out. */
function shorten(name) {
  const [from, to] = name.split(' -> ');
  return to === undefined ? withoutLoopback(name) : `${withoutLoopback(from)} -> ${to}`;
}

/** Only where a forward listens. */
const briefly = (name) => withoutLoopback(name.split(' -> ')[0]);

/** The forward that a connection came by, and its target if that was chosen by the client. */
function wayOf({ forwarding = '', target }) {
  return forwarding.endsWith(' -> SOCKS') && target ? forwarding.replace(/SOCKS$/, () => target) : forwarding;
}

/** Why a connection ended: in full, if that tells more, and last in a few words. @returns {string[]} */
function reasonsOf(end) {
  if (end.clean) return ['complete'];
  const words =
    openFailure(end)?.replace(/^open failed: /, '') ?? (Object.hasOwn(ENDS, end.code) ? ENDS[end.code] : end.reason);
  if (end.lingerExpired) return [`${plain(words)}, as its linger time ran out`, plain(words)];
  return [...(OWN.includes(end.code) ? [] : [plain(end.reason)]), plain(words)];
}

/** What a filter looks at. */
const endText = (end) => `#${end.connectionId} ${wayOf(end)} ${reasonsOf(end).join(' ')}`;

module.exports = { briefly, endText, reasonsOf, shorten, withoutLoopback, wayOf };
