'use strict';

// What tunnels publish on channels of node:diagnostics_channel, for those who watch a program
// without being a part of it.

const { channel } = require('node:diagnostics_channel');

const { fromNative } = require('./errors.js');
const { binding } = require('./native/index.js');

const { Kind } = binding;

/**
 * The channels by what the addon tells. Held here, for Node.js forgets a channel that nobody holds.
 * @type {[number, import('node:diagnostics_channel').Channel][]}
 */
const CHANNELS = [
  [Kind.SessionStarted, channel('sshtunnel.session.start')],
  [Kind.SessionReady, channel('sshtunnel.session.ready')],
  [Kind.SessionLost, channel('sshtunnel.session.lost')],
  [Kind.SessionEnded, channel('sshtunnel.session.end')],
  [Kind.Connection, channel('sshtunnel.connection.open')],
  [Kind.Disconnected, channel('sshtunnel.connection.end')],
];

const byKind = new Map(CHANNELS);

/** The kinds of what is told for the channels alone. */
const SESSIONS = [Kind.SessionStarted, Kind.SessionReady, Kind.SessionLost, Kind.SessionEnded];

/** Which channels have subscribers: a bit for each kind. */
function subscribed() {
  let bits = 0;
  for (const [kind, { hasSubscribers }] of CHANNELS) if (hasSubscribers) bits |= 1 << kind;
  return bits;
}

function isSubscribed(bits, kind) {
  return (bits & (1 << kind)) !== 0;
}

// A subscriber that throws is caught by Node.js, and reported as an uncaught exception later.

/** @param {number | undefined} payload of a session that is ready: milliseconds */
function publishSession(tunnel, kind, sessionId, failure, payload) {
  const told = byKind.get(kind);
  if (!told.hasSubscribers) return;
  /** @type {{ tunnel: object, sessionId: number, logonTime?: number, error?: Error }} */
  const message = { tunnel, sessionId };
  if (kind === Kind.SessionReady) message.logonTime = payload;
  if (failure !== null) message.error = fromNative(failure);
  told.publish(Object.freeze(message));
}

function publishConnection(tunnel, info) {
  const opened = byKind.get(Kind.Connection);
  if (opened.hasSubscribers) opened.publish(Object.freeze({ tunnel, connection: frozen(info) }));
}

function publishEnd(tunnel, end) {
  const ended = byKind.get(Kind.Disconnected);
  if (ended.hasSubscribers) ended.publish(Object.freeze({ tunnel, end: frozen(end) }));
}

/** A copy: listeners of events get the object itself, and may do with it as they like. */
function frozen({ linger, ...rest }) {
  return Object.freeze({ ...rest, linger: Object.freeze({ ...linger }) });
}

module.exports = { SESSIONS, isSubscribed, publishConnection, publishEnd, publishSession, subscribed };
