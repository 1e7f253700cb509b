// The closing rules: what ends a connection, and how it ends then in each Linger mode. The closing table's suite
// tests them, and scripts/closing-table.mjs writes them into README.md, docs/guide.md and docs/closing.md.

const FIN = { client: 'FIN', clean: false, closedBy: 'graceful' };
const RST = { client: 'ECONNRESET', clean: false, closedBy: 'reset' };

/** A connection in which both directions reached their end of stream with every byte delivered. */
const WHOLE = { client: 'FIN', code: 'OK', clean: true, closedBy: 'graceful' };
const ABORTED = { ...RST, code: 'ECONNABORTED' };
/** The local client has reset the connection and sees no end. */
const BY_CLIENT = { client: 'closed here', code: 'ECONNRESET', clean: false, closedBy: 'reset' };

const ends = (code) => ({ graceful: { ...FIN, code }, hard: { ...RST, code }, expired: { ...RST, code } });
const resets = (code) => ({ graceful: { ...RST, code }, hard: { ...RST, code }, expired: { ...RST, code } });
const whole = { graceful: WHOLE, hard: WHOLE, expired: WHOLE };

/**
 * Each rule: the `event`, and what the local client and the report see by Linger mode; `expired` is a bounded close
 * whose time is up.
 * - `delivers`: what happens before the end, in a graceful close, and in a bounded one until its time is up
 * - `also`: what else a graceful close does
 * - `says`: the table's words where they are not made from the above, for all modes or by mode
 * - `codes`: the same for the code
 * - `pages`: the documents whose tables leave others out; docs/closing.md has every rule
 * - `tests`: the tests of a rule that the closing table's suite does not try
 */
export const RULES = {
  localFin: {
    event: 'the local client ends its stream (FIN)',
    says: 'data up is delivered, then EOF; the other direction stays open',
    codes: '-',
    pages: ['guide'],
    ...whole,
  },
  remoteEof: {
    event: 'the remote end ends its stream (EOF)',
    says: 'data down is delivered, then FIN; the other direction stays open',
    codes: '-',
    pages: ['guide'],
    ...whole,
  },
  bothEnded: { event: 'both have ended', says: 'close', pages: ['readme', 'guide'], ...whole },
  localReset: {
    event: 'the local client resets (RST)',
    says: {
      graceful: 'data up is delivered, then CLOSE; data down is dropped',
      hard: 'both directions are dropped, CLOSE',
      bounded: 'as graceful; data up that is left after n seconds is dropped',
    },
    pages: ['guide'],
    graceful: BY_CLIENT,
    hard: BY_CLIENT,
    expired: BY_CLIENT,
  },
  earlyClose: {
    event: 'the server closes before the local client has ended',
    delivers: 'data down is delivered',
    also: 'data up is dropped',
    pages: ['readme', 'guide'],
    ...ends('ERR_SSH_CHANNEL_CLOSED'),
  },
  truncated: {
    event: 'the local client has ended, and the server closes without EOF: the reply is truncated',
    delivers: 'data down is delivered',
    pages: ['readme', 'guide'],
    tests: {
      'close/truncated-reply.test.mjs': ["CLOSE without EOF after the client's FIN resets the client: ${column}"],
    },
    ...resets('ERR_SSH_CHANNEL_CLOSED'),
  },
  eofAndClose: {
    event: 'the server sends EOF and CLOSE at once, and the local client has nothing more to send',
    delivers: 'data down is delivered',
    ...ends('ERR_SSH_CHANNEL_CLOSED'),
    graceful: WHOLE,
  },
  targetRefused: {
    event: 'the server refuses the target',
    codes: '`ERR_SSH_OPEN_...`',
    pages: ['readme', 'guide'],
    ...resets(undefined),
  },
  rejected: {
    event: 'a `connectionRequest` is rejected',
    pages: ['guide'],
    ...resets('ERR_TUNNEL_REJECTED'),
  },
  unanswered: { event: 'no reply from the server within `readyTimeout`', ...resets('ETIMEDOUT') },
  disconnected: {
    event: 'the SSH session is disconnected',
    delivers: 'data down is delivered',
    pages: ['readme', 'guide'],
    ...resets('ERR_SSH_DISCONNECTED'),
  },
  moves: {
    event: 'one of several `sessions` is disconnected before the connection is open',
    says: 'moves to another session',
    codes: '-',
    tests: { 'session/sessions.test.mjs': ['a connection whose channel is not open moves to another session'] },
  },
  waits: {
    event: 'with `reconnect`, the session is disconnected before the connection is open, or there is none',
    says: 'waits for the next session',
    codes: '-',
    tests: {
      'session/disconnected.test.mjs': [
        'a connection whose channel was not open at the disconnect waits too',
        '100 connections wait for the next session and are all served',
      ],
    },
  },
  noSession: {
    event: 'no session within `readyTimeout`, or ever again',
    codes: '`ETIMEDOUT`, `ERR_SSH_DISCONNECTED`',
    tests: {
      'session/disconnected.test.mjs': [
        'a connection that waits longer than readyTimeout is reset, others are not',
        'the last allowed attempt ends reconnecting, and the tunnel can start again',
      ],
    },
    ...resets(undefined),
  },
  closedByCall: {
    event: '`disconnect()`, `shutdown()`',
    delivers: 'both directions are delivered',
    pages: ['readme', 'guide'],
    ...ends('OK'),
    hard: ABORTED,
    expired: ABORTED,
  },
  closeTimeout: {
    event: 'the time of `close({ timeout })` is up',
    says: {
      graceful: 'as `shutdown()` for 1.2 seconds, then RST',
      hard: 'RST',
      bounded: 'as graceful, or after n seconds',
    },
    codes: 'as `shutdown()`; cut short: `ECONNABORTED`',
    tests: {
      'close/every-state.timing.test.mjs': [
        'close({ timeout }) closes what is delivered in time and resets the rest within two seconds',
      ],
    },
  },
  forced: {
    event: '`reset()`, `shutdown({ force: true })`, in every state',
    codes: 'of the event that began the close, else `ECONNABORTED`',
    tests: { 'close/every-state.timing.test.mjs': ['${state.name}: ${way}'] },
    ...resets(undefined),
  },
  hardened: {
    event: 'a hard `Linger` is set during the close',
    says: { graceful: 'RST', hard: '-', bounded: 'RST' },
    codes: 'of the event that began the close; `OK` becomes `ECONNABORTED`',
    tests: { 'close/every-state.timing.test.mjs': ['${state.name}: ${way}'] },
  },
  idle: {
    event: '`idleTimeout`',
    delivers: 'both directions are delivered',
    pages: ['readme', 'guide'],
    ...ends('ETIMEDOUT'),
  },
  stalled: {
    event: 'the local client or the target stalls during the close',
    says: { graceful: 'held until it reads', hard: '-', bounded: 'RST after n seconds' },
    codes: 'of the event that began the close; `lingerExpired`',
    tests: {
      'close/closing-table.test.mjs': [
        'disconnect(), and the client stalls',
        'disconnect(), and the remote end stalls',
      ],
    },
  },
  exit: {
    event: 'the process exits or is killed',
    codes: 'no report',
    pages: ['readme', 'guide'],
    tests: { 'calls/states.test.mjs': ['a killed process resets its connections, whatever their Linger'] },
    ...resets(undefined),
  },
};

/** What is expected by Linger mode; of a connection that stalls, the bounded close expires. */
export function expected({ graceful, hard, expired }, { stalls } = {}) {
  const late = expired?.client === WHOLE.client ? expired : { ...expired, lingerExpired: true };
  return { graceful, hard, bounded: stalls ? late : graceful };
}

const END = { FIN: 'FIN', ECONNRESET: 'RST' };

function words({ says, delivers, also, graceful, hard, expired }, mode) {
  if (says !== undefined) return says[mode] ?? says;
  if (mode === 'hard') return END[hard.client];
  if (!delivers) return END[graceful.client];
  if (mode === 'bounded') return `as graceful, ${END[expired.client]} after n seconds`;
  return [`${delivers}, then ${END[graceful.client]}`, also].filter(Boolean).join('; ');
}

function codeOf({ codes, graceful, hard }) {
  if (codes !== undefined) return codes;
  const first = `\`${graceful.code}\`${graceful.clean ? ', `clean`' : ''}`;
  return hard.code === graceful.code ? first : `${first}; hard or expired: \`${hard.code}\``;
}

const MODES = { graceful: 'graceful (`true`)', hard: 'hard (`false`)', bounded: 'bounded (`{1, n}`)' };

/** The rules of a document as a table of Markdown. */
export function closingTable(page) {
  const rules = Object.values(RULES).filter(({ pages = [] }) => page === 'closing' || pages.includes(page));
  const withCode = page !== 'readme';
  const rows = rules.map((rule) => {
    const [graceful, ...others] = Object.keys(MODES).map((mode) => words(rule, mode));
    const cells = others.map((cell) => (cell === graceful && cell !== 'RST' ? 'same' : cell));
    return [rule.event, graceful, ...cells, ...(withCode ? [codeOf(rule)] : [])];
  });
  const head = ['event', ...Object.values(MODES), ...(withCode ? ['`code`'] : [])];
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
