'use strict';

// Publishes events of tunnels on channels of node:diagnostics_channel, and the lines of their logs.

const { channel } = require('node:diagnostics_channel');
const { debuglog } = require('node:util');

const { fromNative } = require('./errors.js');
const { binding } = require('./native/index.js');

const { Kind } = binding;

/**
 * The channels, by the kinds of events. The references keep them: Node.js drops a channel without one.
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

/** The kinds of events that are for channels only. */
const SESSIONS = [Kind.SessionStarted, Kind.SessionReady, Kind.SessionLost, Kind.SessionEnded];

/** The channels that have subscribers, one bit for each kind. */
function subscribed() {
  let bits = 0;
  for (const [kind, { hasSubscribers }] of CHANNELS) if (hasSubscribers) bits |= 1 << kind;
  return bits;
}

function isSubscribed(bits, kind) {
  return (bits & (1 << kind)) !== 0;
}

// Node.js catches an error of a subscriber, and reports it as an uncaught exception later.

/**
 * @param {{ host: string, port: number }} server
 * @param {number | undefined} payload the milliseconds to connect, for a session that is ready
 */
function publishSession(tunnel, server, kind, sessionId, failure, payload) {
  const channel = byKind.get(kind);
  if (!channel.hasSubscribers) return;
  /** @type {{ tunnel: object, sessionId: number, host: string, port: number, logonTime?: number, error?: Error }} */
  const message = { tunnel, sessionId, host: server.host, port: server.port };
  if (kind === Kind.SessionReady) message.logonTime = payload;
  if (failure !== null) message.error = fromNative(failure);
  channel.publish(Object.freeze(message));
}

function publishConnection(tunnel, info) {
  const opened = byKind.get(Kind.Connection);
  if (opened.hasSubscribers) opened.publish(Object.freeze({ tunnel, connection: frozen(info) }));
}

function publishEnd(tunnel, end) {
  const ended = byKind.get(Kind.Disconnected);
  if (ended.hasSubscribers) ended.publish(Object.freeze({ tunnel, end: frozen(end) }));
}

const nodeDebug = debuglog('sshtunnel');

/**
 * The receiver of the lines of a tunnel's log: the option `debug`, standard error with NODE_DEBUG=sshtunnel, or both;
 * undefined: neither.
 * @param {number} handle tells the tunnels of a process apart
 * @param {((line: string) => void) | undefined} debug
 */
function logReceiver(handle, debug) {
  if (!nodeDebug.enabled) return debug;
  return (line) => {
    nodeDebug('tunnel %d: %s', handle, line);
    debug?.(line);
  };
}

/** A frozen copy: listeners of events get the object itself, and can change it. */
function frozen({ linger, ...rest }) {
  return Object.freeze({ ...rest, linger: Object.freeze({ ...linger }) });
}

module.exports = { SESSIONS, isSubscribed, logReceiver, publishConnection, publishEnd, publishSession, subscribed };
