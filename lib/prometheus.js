'use strict';

// The statistics of tunnels in Prometheus's text format, version 0.0.4. docs/observing.md lists the metrics.

const { invalidArgType, invalidArgValue } = require('./errors.js');
const { checkObject } = require('./validate/index.js');

const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** Names of labels. Prometheus keeps names that begin with two underscores for itself. */
const LABEL = /^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$/;
/** Labels of the metrics themselves. */
const RESERVED = new Set(['by', 'code', 'direction', 'kind', 'le', 'listen', 'quantile', 'state']);

/**
 * A metric: its samples are pairs of labels and a value.
 * @typedef {[labels: Record<string, string>, value: number][]} Samples
 * @typedef {{ name: string, type: 'counter' | 'gauge', help: string, samples: Samples }} Family
 */

/** @returns {Family} */
const gauge = (name, help, samples) => ({ name, type: 'gauge', help, samples });
/** @returns {Family} */
const counter = (name, help, samples) => ({ name, type: 'counter', help, samples });

/** One sample without labels; none for a value that is not known. */
const single = (value) => (value === undefined ? [] : [[{}, value]]);
const seconds = (milliseconds) => single(milliseconds === undefined ? undefined : milliseconds / 1000);
/** A sample for each member of an object, with its name as the label. */
const byLabel = (label, values) => Object.entries(values).map(([name, value]) => [{ [label]: name }, value]);

/** The metrics of a tunnel. @returns {Family[]} */
function tunnelFamilies({ sessions, connections: all }) {
  return [
    gauge('sshtunnel_sessions', 'SSH sessions that are up.', single(sessions.up)),
    counter('sshtunnel_logons_total', 'Sessions that were established.', single(sessions.logons)),
    counter('sshtunnel_logon_failures_total', 'Connection attempts that failed.', single(sessions.logonFailures)),
    counter('sshtunnel_session_losses_total', 'Established sessions that disconnected.', single(sessions.losses)),
    counter('sshtunnel_reconnect_attempts_total', 'Attempts to restore a session.', single(sessions.reconnectAttempts)),
    gauge(
      'sshtunnel_logon_duration_seconds',
      'Duration of the last successful connection attempt.',
      seconds(sessions.logonTime),
    ),
    gauge('sshtunnel_round_trip_seconds', 'Least recent round trip to the server.', seconds(sessions.roundTrip)),
    gauge(
      'sshtunnel_connections',
      'Connections that exist.',
      byLabel('state', { pending: all.pending, open: all.open }),
    ),
    counter('sshtunnel_connections_accepted_total', 'Connections that were accepted.', single(all.accepted)),
    counter('sshtunnel_connections_opened_total', 'Connections that were open from end to end.', single(all.opened)),
    counter('sshtunnel_connections_ended_total', 'Connections that have ended, by code.', byLabel('code', all.ended)),
    counter(
      'sshtunnel_connections_clean_total',
      'Connections that ended with every byte delivered.',
      single(all.clean),
    ),
    counter(
      'sshtunnel_connections_closed_total',
      'Connections that have ended, by what the local client saw.',
      byLabel('by', all.closedBy),
    ),
    counter('sshtunnel_linger_expirations_total', 'Connections whose linger time expired.', single(all.lingerExpired)),
    counter(
      'sshtunnel_forwarded_bytes_total',
      'Bytes that were delivered.',
      byLabel('direction', { up: all.bytesUp, down: all.bytesDown }),
    ),
    counter(
      'sshtunnel_dropped_bytes_total',
      'Bytes that were received from one side and not delivered to the other.',
      byLabel('direction', { up: all.droppedUp, down: all.droppedDown }),
    ),
    counter(
      'sshtunnel_unconfirmed_bytes_total',
      'Bytes that may or may not have been delivered: the system did not tell.',
      byLabel('direction', { down: all.unconfirmedDown }),
    ),
  ];
}

/** The metrics of a forward, besides those of its tunnel. @returns {Family[]} */
function forwardFamilies(listening, all) {
  return [
    gauge('sshtunnel_forward_listening', 'Whether the forward listens.', single(Number(listening))),
    gauge(
      'sshtunnel_forward_connections',
      'Connections of the forward that exist.',
      byLabel('state', { pending: all.pending, open: all.open }),
    ),
    counter(
      'sshtunnel_forward_connections_accepted_total',
      'Connections of the forward that were accepted.',
      single(all.accepted),
    ),
    counter(
      'sshtunnel_forward_connections_ended_total',
      'Connections of the forward that have ended, by code.',
      byLabel('code', all.ended),
    ),
    counter(
      'sshtunnel_forward_bytes_total',
      'Bytes of the forward that were delivered.',
      byLabel('direction', { up: all.bytesUp, down: all.bytesDown }),
    ),
  ];
}

/** A forward by what it listens on. */
function labelsOf({ kind, localHost, localPort, localPath, remoteHost, remotePort, remotePath }) {
  const [host, port, path] =
    kind === 'remote' ? [remoteHost || '*', remotePort, remotePath] : [localHost, localPort, localPath];
  return { kind, listen: path ?? (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`) };
}

const escaped = (text) => text.replace(/["\\]/g, '\\$&').replaceAll('\n', '\\n');

/** Metrics by name, each with the samples of all tunnels. */
class Exposition {
  /** @type {Map<string, { type: string, help: string, samples: Map<string, number> }>} */
  #families = new Map();

  /** @param {Family[]} families @param {Record<string, string>} labels of all samples */
  add(families, labels = {}) {
    for (const { name, type, help, samples } of families) {
      const family = this.#families.get(name) ?? { type, help, samples: new Map() };
      this.#families.set(name, family);
      for (const [own, value] of samples) {
        const pairs = Object.entries({ ...labels, ...own }).map(([label, text]) => `${label}="${escaped(text)}"`);
        const key = pairs.length === 0 ? name : `${name}{${pairs.join(',')}}`;
        // Two forwards may share one address. A sample may occur once only.
        family.samples.set(key, (family.samples.get(key) ?? 0) + value);
      }
    }
  }

  toString() {
    return [...this.#families]
      .filter(([, { samples }]) => samples.size > 0)
      .map(([name, { type, help, samples }]) => {
        const lines = [...samples].map(([sample, value]) => `${sample} ${value}\n`);
        return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
      })
      .join('');
  }
}

/** Adds the metrics of a tunnel and of its forwards. */
async function addTunnel(exposition, { tunnel, labels = {} }) {
  const forwards = tunnel.forwards();
  // A forward that ends meanwhile is left out.
  const ask = (forward) => forward.promises.stats().catch(() => undefined);
  const [stats, ...each] = await Promise.all([tunnel.promises.stats(), ...forwards.map(ask)]);
  exposition.add(tunnelFamilies(stats), labels);
  for (const [index, connections] of each.entries()) {
    if (connections === undefined) continue;
    const forward = forwards[index];
    exposition.add(forwardFamilies(forward.listening, connections), { ...labels, ...labelsOf(forward) });
  }
}

function checkLabels(labels, name) {
  for (const [label, value] of Object.entries(checkObject(labels, name))) {
    if (!LABEL.test(label) || RESERVED.has(label))
      throw invalidArgValue(name, 'must have names of labels that the metrics do not have themselves', label);
    if (typeof value !== 'string') throw invalidArgType(`${name}.${label}`, 'of type string', value);
  }
}

function checkSources(sources) {
  if (!Array.isArray(sources)) throw invalidArgType('tunnels', 'an instance of Array', sources);
  for (const [index, source] of sources.entries()) {
    const name = `tunnels[${index}]`;
    const { tunnel, labels } = checkObject(source, name);
    if (typeof tunnel?.promises?.stats !== 'function')
      throw invalidArgType(`${name}.tunnel`, 'an instance of SSHTunnel', tunnel);
    if (labels !== undefined) checkLabels(labels, `${name}.labels`);
  }
  return sources;
}

async function metrics(tunnels) {
  const exposition = new Exposition();
  for (const source of checkSources(tunnels)) await addTunnel(exposition, source);
  return exposition.toString();
}

module.exports = { CONTENT_TYPE, Exposition, addTunnel, gauge, metrics };
