'use strict';

// Forwarding specifications, as in the command line of ssh and in its files.

const { hostFault, readPort, remotePathFault } = require('../validate/names.js');

/** @typedef {{ host?: string, port?: number, path?: string }} ListenAddr an absent host is the default one */

/** The fields between the colons; brackets keep the colons of an address together. Undefined if they cannot be told apart. */
function fieldsOf(text) {
  const fields = [];
  for (let rest = text; rest !== undefined; ) {
    const bracketed = /^\[([^\]]*)\](?::(.*)|$)/s.exec(rest);
    const [, field, more] = bracketed ?? /^((?:\\.|[^:\\])*)(?::(.*)|$)/s.exec(rest) ?? [];
    if (field === undefined || fields.length === 4) return undefined;
    fields.push(bracketed ? field : field.replace(/\\(.)/g, '$1'));
    rest = more;
  }
  return fields;
}

const isPath = (field) => field.includes('/');

/**
 * Which fields say where to listen, and which what to connect to: `[bind_address:]port`, then
 * `host:port`; each may be the path of a socket instead.
 */
function split(fields) {
  const [first, second, third] = fields;
  switch (fields.length) {
    case 1:
      return [fields, []];
    case 2:
      return isPath(second) ? [[first], [second]] : [fields, []];
    case 3:
      return isPath(third) && !isPath(first) ? [[first, second], [third]] : [[first], [second, third]];
    default:
      return [fields.slice(0, 2), fields.slice(2)];
  }
}

/** @returns {ListenAddr | undefined} */
function addressOf(fields, minPort) {
  if (fields.length === 1 && isPath(fields[0]))
    return remotePathFault(fields[0]) === undefined ? { path: fields[0] } : undefined;
  const port = readPort(fields.at(-1), minPort);
  if (port === undefined) return undefined;
  if (fields.length === 1) return { port };
  const [host] = fields;
  // The empty name stands for all addresses.
  return host === '' || hostFault(host) === undefined ? { host, port } : undefined;
}

/**
 * @param {string} text such as `8080:db:5432` or `[::1]:1080`
 * @param {'local' | 'dynamic' | 'remote'} kind
 * @param {{ anyPort?: boolean }} [options] anyPort: 0 may stand for whichever port is free
 * @returns {{ kind: string, listen: ListenAddr, connect?: ListenAddr } | undefined} undefined if it is not valid;
 *   without `connect`, each connection names its target
 */
function parseForwarding(text, kind, { anyPort = kind === 'remote' } = {}) {
  const fields = fieldsOf(text);
  if (fields === undefined) return undefined;
  const [listening, connecting] = split(fields);
  const listen = addressOf(listening, anyPort ? 0 : 1);
  if (listen === undefined) return undefined;
  if (connecting.length === 0) return kind === 'local' ? undefined : { kind, listen };
  const connect = addressOf(connecting, 1);
  const complete = connect?.path !== undefined || Boolean(connect?.host);
  return complete && kind !== 'dynamic' ? { kind, listen, connect } : undefined;
}

/** @param {ListenAddr} address */
function formatAddress({ host, port, path }) {
  if (path !== undefined) return path.replace(/[:\\]/g, '\\$&');
  return host === undefined ? `${port}` : `[${host}]:${port}`;
}

/**
 * The text of a forwarding, from which `parseForwarding` makes the same one.
 * @param {{ listen: ListenAddr, connect?: ListenAddr }} forwarding
 */
function formatForwarding({ listen, connect }) {
  return connect === undefined ? formatAddress(listen) : `${formatAddress(listen)}:${formatAddress(connect)}`;
}

module.exports = { formatForwarding, parseForwarding };
