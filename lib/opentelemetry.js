'use strict';

// Spans of OpenTelemetry for sessions and connections, made of the messages of the diagnostics channels.

const { subscribe, unsubscribe } = require('node:diagnostics_channel');

const { SpanKind, SpanStatusCode, trace } = require('@opentelemetry/api');

const { version } = require('../package.json');
const { checkObject } = require('./validate/index.js');

/** The spans of one process, until it stops. */
class Spans {
  #tracer;
  /** By tunnel: the spans of its sessions and of its connections, by their numbers. */
  #tunnels = new WeakMap();

  /** @param {import('@opentelemetry/api').Tracer} tracer */
  constructor(tracer) {
    this.#tracer = tracer;
  }

  /** What is done with the messages, by channel. */
  handlers = {
    'sshtunnel.session.start': (message) => {
      const attributes = sessionAttributes(message);
      const span = this.#start('ssh.connect', attributes);
      this.#of(message).sessions.set(message.sessionId, { span, attributes });
    },
    'sshtunnel.session.ready': (message) => {
      const { sessions } = this.#of(message);
      const connecting = sessions.get(message.sessionId);
      if (connecting === undefined) return;
      connecting.span.end();
      const { attributes } = connecting;
      sessions.set(message.sessionId, { span: this.#start('ssh.session', attributes), attributes });
    },
    'sshtunnel.session.end': (message) => {
      const { sessions } = this.#of(message);
      const { span } = sessions.get(message.sessionId) ?? {};
      sessions.delete(message.sessionId);
      if (span === undefined) return;
      if (message.error !== undefined) {
        span.recordException(message.error);
        fail(span, message.error.code, message.error.message);
      }
      span.end();
    },
    'sshtunnel.connection.open': (message) => {
      const { connection } = message;
      const span = this.#start('ssh.forward', connectionAttributes(connection));
      this.#of(message).connections.set(connection.connectionId, span);
    },
    'sshtunnel.connection.end': (message) => {
      const { end } = message;
      const { connections } = this.#of(message);
      // A connection that was not opened has a span without a duration.
      const span = connections.get(end.connectionId) ?? this.#start('ssh.forward', idsOf(end));
      connections.delete(end.connectionId);
      span.setAttributes(endAttributes(end));
      if (end.code !== 'OK') fail(span, end.code, end.reason);
      span.end();
    },
  };

  #start(name, attributes) {
    // The parent is the span in whose context the tunnel was made: messages are published there.
    return this.#tracer.startSpan(name, { kind: SpanKind.CLIENT, attributes });
  }

  #of({ tunnel }) {
    let spans = this.#tunnels.get(tunnel);
    if (spans === undefined) {
      spans = { sessions: new Map(), connections: new Map() };
      this.#tunnels.set(tunnel, spans);
    }
    return spans;
  }
}

/** @param {import('@opentelemetry/api').Span} span */
function fail(span, code, message) {
  span.setAttribute('error.type', code);
  span.setStatus({ code: SpanStatusCode.ERROR, message });
}

function sessionAttributes({ host, port, sessionId }) {
  return {
    'server.address': host,
    'server.port': port,
    'network.transport': 'tcp',
    'network.protocol.name': 'ssh',
    'sshtunnel.session.id': sessionId,
  };
}

function idsOf({ connectionId, forwardId }) {
  return { 'sshtunnel.connection.id': connectionId, 'sshtunnel.forward.id': forwardId };
}

function connectionAttributes(connection) {
  const { forwardHost, forwardPath, forwardPort, remoteAddress, remotePort } = connection;
  return {
    ...idsOf(connection),
    'server.address': forwardHost ?? forwardPath,
    'server.port': forwardPort,
    'network.transport': forwardPath === undefined ? 'tcp' : 'unix',
    'network.peer.address': remoteAddress,
    'network.peer.port': remotePort,
  };
}

function endAttributes(end) {
  return {
    'sshtunnel.bytes.up': end.bytesUp,
    'sshtunnel.bytes.down': end.bytesDown,
    'sshtunnel.dropped.up': end.droppedUp,
    'sshtunnel.dropped.down': end.droppedDown,
    'sshtunnel.clean': end.clean,
    'sshtunnel.closed_by': end.closedBy,
  };
}

/**
 * Makes spans of all tunnels of this process.
 * @param {{ tracerProvider?: import('@opentelemetry/api').TracerProvider }} [options]
 * @returns {() => void} stops making spans
 */
function traceTunnels(options = {}) {
  const { tracerProvider } = checkObject(options, 'options');
  const spans = new Spans((tracerProvider ?? trace).getTracer('sshtunnel-native', version));
  const handlers = Object.entries(spans.handlers);
  for (const [name, handle] of handlers) subscribe(name, handle);
  return () => {
    for (const [name, handle] of handlers) unsubscribe(name, handle);
  };
}

module.exports = { traceTunnels };
