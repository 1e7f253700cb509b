// A SOCKS client that sends byte by byte, and curl.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { isIPv4, isIPv6 } from 'node:net';

import { findProgram } from './ensure-sshd.mjs';
import { MIB, connect } from './peers.mjs';
import { run } from './process.mjs';
import { assertEcho, assertIncludes } from './tunnels.mjs';

/** What answers say about a request of SOCKS 5 (RFC 1928 section 6). */
export const GRANTED = 0;
export const FAILED = 1;
export const NOT_ALLOWED = 2;
export const HOST_UNREACHABLE = 4;
export const REFUSED = 5;
export const COMMAND_NOT_SUPPORTED = 7;
export const ADDRESS_TYPE_NOT_SUPPORTED = 8;

const counted = (text) => {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.of(bytes.length), bytes]);
};

const portBytes = (port) => Buffer.of(port >> 8, port & 255);

/** A greeting with these methods: 0 is none, 2 username and password. */
export const greeting = (...methods) => Buffer.of(5, methods.length, ...methods);

export const login = (username, password) => Buffer.concat([Buffer.of(1), counted(username), counted(password)]);

/** An address is sent as an address, unless it is requested as a name. */
export function request5(host, port, { command = 1, name = false } = {}) {
  const address = () => {
    if (isIPv4(host) && !name) return Buffer.of(1, ...host.split('.').map(Number));
    if (isIPv6(host) && !name) return Buffer.concat([Buffer.of(4), ipv6(host)]);
    return Buffer.concat([Buffer.of(3), counted(host)]);
  };
  return Buffer.concat([Buffer.of(5, command, 0), address(), portBytes(port)]);
}

/** SOCKS 4 for an address, 4a for a name. */
export function request4(host, port, { command = 1, user = 'me' } = {}) {
  const address = isIPv4(host) ? host.split('.').map(Number) : [0, 0, 0, 1];
  const name = isIPv4(host) ? '' : `${host}\0`;
  return Buffer.concat([Buffer.of(4, command), portBytes(port), Buffer.from(address), Buffer.from(`${user}\0${name}`)]);
}

/** The 16 bytes of an address that begins with `::`. */
function ipv6(host) {
  const words = host
    .replace(/^::/, '')
    .split(':')
    .filter(Boolean)
    .map((word) => parseInt(word, 16));
  const bytes = Buffer.alloc(16);
  for (const [at, word] of words.entries()) bytes.writeUInt16BE(word, 2 * (8 - words.length + at));
  return bytes;
}

/** Connects to a port that speaks SOCKS: a `Peer` that reads nothing by itself. */
export function connectSocks(port) {
  return connect(port, { read: false });
}

/** Reads this many bytes, or fewer if the stream ends before. */
export async function take({ socket }, count) {
  const pieces = [];
  for (let left = count; left > 0; ) {
    const bytes = socket.read(Math.min(left, socket.readableLength));
    if (bytes !== null) {
      pieces.push(bytes);
      left -= bytes.length;
    } else if (socket.readableEnded) {
      break;
    } else {
      const settled = new AbortController();
      const { signal } = settled;
      await Promise.race([once(socket, 'readable', { signal }), once(socket, 'end', { signal })]);
      settled.abort();
    }
  }
  return Buffer.concat(pieces);
}

/** The answer to a request of SOCKS 5: its code. */
export async function reply5(peer) {
  const [version, code, ...rest] = await take(peer, 10);
  if (version !== 5 || String(rest) !== '0,1,0,0,0,0,0,0')
    throw new Error(`no answer of SOCKS 5: ${[version, code, ...rest]}`);
  return code;
}

/** The answer to a request of SOCKS 4: 90 or 91. */
export async function reply4(peer) {
  const [version, code, ...rest] = await take(peer, 8);
  if (version !== 0 || String(rest) !== '0,0,0,0,0,0')
    throw new Error(`no answer of SOCKS 4: ${[version, code, ...rest]}`);
  return code;
}

/** Asks for a target by SOCKS 5, without authentication; `behind` is sent in the same segment. */
export async function ask5(port, host, forwardPort, { behind = '', ...how } = {}) {
  const peer = await connectSocks(port);
  peer.socket.write(greeting(0));
  const [version, method] = await take(peer, 2);
  if (version !== 5 || method !== 0) throw new Error(`no choice of a method: ${version}, ${method}`);
  peer.socket.write(Buffer.concat([request5(host, forwardPort, how), Buffer.from(behind)]));
  return { peer, code: await reply5(peer) };
}

/** Asserts a refused request: its code, the FIN behind it, and the report. */
export async function assertRefused({ eventLog, port }, [host, targetPort, how], code, report) {
  const { peer, code: said } = await ask5(port, host, targetPort, how);
  assert.equal(said, code);
  await assertToldAndEnded(peer, eventLog, report);
}

/** Asserts that nothing but FIN follows what a client was told, and the report. */
export async function assertToldAndEnded(peer, eventLog, report) {
  peer.read();
  assertIncludes(await peer.ended, { bytes: 0, end: 'FIN' });
  peer.end();
  const nothing = { clean: false, closedBy: 'graceful', bytesUp: 0, bytesDown: 0, droppedDown: 0 };
  assertIncludes(await eventLog.next('disconnected'), { ...nothing, ...report });
}

/** Asserts that a handshake of single bytes leads to an echo. */
export async function assertSplitHandshake(port, echo) {
  const peer = await connectSocks(port);
  for (const byte of Buffer.concat([greeting(0, 1, 2), request5('localhost', echo.port)])) {
    await new Promise((done) => peer.socket.write(Buffer.of(byte), done));
  }
  assert.deepEqual([...(await take(peer, 2))], [5, 0]);
  assert.equal(await reply5(peer), GRANTED);
  await assertEcho(peer);
}

/** Asserts that bulk data passes to an echo and back, and that the handshake is not counted. */
export async function assertBulk({ eventLog, port }, echo) {
  const { peer, code } = await ask5(port, '127.0.0.1', echo.port);
  assert.equal(code, GRANTED);
  await assertEcho(peer, 8 * MIB);
  const end = { code: 'OK', clean: true, bytesUp: 8 * MIB, bytesDown: 8 * MIB, droppedUp: 0, droppedDown: 0 };
  assertIncludes(await eventLog.next('disconnected'), end);
}

/** Asserts that the application decides about each target once it is known. */
export async function assertDecided({ tunnel, eventLog, forward, port }, echo) {
  const asked = [];
  tunnel.on('connectionRequest', (request) => {
    asked.push([request.forwardId, request.forwardHost, request.forwardPort]);
    if (request.forwardHost === 'localhost') request.accept();
    else request.reject();
  });
  await assertRefused({ eventLog, port }, ['127.0.0.1', echo.port], NOT_ALLOWED, { code: 'ERR_TUNNEL_REJECTED' });
  const { peer, code } = await ask5(port, 'localhost', echo.port);
  assert.equal(code, GRANTED);
  await assertEcho(peer);
  assert.deepEqual(asked, [
    [forward.forwardId, '127.0.0.1', echo.port],
    [forward.forwardId, 'localhost', echo.port],
  ]);
}

/** Asserts that a client without the right login of `anna` is refused, message by message. */
export async function assertLoginRequired({ eventLog, port }, echo) {
  for (const [words, answers] of [
    [greeting(0), [5, 255]],
    [Buffer.concat([greeting(2), login('anna', 'wrong')]), [5, 2, 1, 1]],
    [request4('127.0.0.1', echo.port, { user: 'anna' }), [0, 91, 0, 0, 0, 0, 0, 0]],
  ]) {
    const peer = await connectSocks(port);
    peer.socket.write(words);
    assert.deepEqual([...(await take(peer, answers.length))], answers);
    await assertToldAndEnded(peer, eventLog, { code: 'ERR_TUNNEL_SOCKS_AUTH' });
  }
}

/** Runs curl without the user's settings: its output, exit code and errors. */
export function curl(...args) {
  const usual = ['--disable', '--silent', '--show-error', '--noproxy', '', '--max-time', '20'];
  return run(findProgram('curl'), [...usual, ...args]);
}
