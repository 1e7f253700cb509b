// An SSH server in this process whose messages after the key exchange are the test's own. It supports one algorithm of
// each kind: curve25519-sha256, ssh-ed25519, aes256-gcm@openssh.com.

import crypto from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import net from 'node:net';

import { KEXINIT, KEX_ECDH_INIT, KEX_ECDH_REPLY, NEWKEYS, message } from './messages.mjs';

export const DISCONNECT = 1;
export const UNIMPLEMENTED = 3;
export const SERVICE_REQUEST = 5;
export const SERVICE_ACCEPT = 6;
export const USERAUTH_REQUEST = 50;
export const USERAUTH_FAILURE = 51;
export const USERAUTH_SUCCESS = 52;
export const GLOBAL_REQUEST = 80;
export const REQUEST_SUCCESS = 81;
export const REQUEST_FAILURE = 82;
export const CHANNEL_OPEN = 90;
export const CHANNEL_OPEN_CONFIRMATION = 91;
export const CHANNEL_OPEN_FAILURE = 92;

const VERSION = 'SSH-2.0-scripted';
const TAG = 16;
/** What precedes the 32 bytes of an X25519 key in SPKI. */
const X25519_SPKI = Buffer.from('302a300506032b656e032100', 'hex');

const string = (bytes) => message(0, bytes.length, bytes).subarray(1);
const sha256 = (...parts) => crypto.createHash('sha256').update(Buffer.concat(parts)).digest();
const rawKey = (key) => key.export({ type: 'spki', format: 'der' }).subarray(-32);

/** A positive number of any size. */
function mpint(bytes) {
  const start = bytes.findIndex((byte) => byte !== 0);
  const digits = bytes.subarray(start < 0 ? bytes.length : start);
  return string(digits[0] & 0x80 ? Buffer.concat([Buffer.of(0), digits]) : digits);
}

/** Takes the values of a message one after the other. */
export class Values {
  constructor(payload) {
    this.rest = payload.subarray(1);
  }

  take(count) {
    const bytes = this.rest.subarray(0, count);
    this.rest = this.rest.subarray(count);
    return bytes;
  }

  number = () => this.take(4).readUInt32BE();
  flag = () => this.take(1)[0] !== 0;
  bytes = () => this.take(this.number());
  text = () => this.bytes().toString();
}

/** One direction of a connection. */
class Keys {
  constructor(key, iv) {
    this.key = key;
    this.iv = Buffer.from(iv);
  }

  nonce() {
    const nonce = Buffer.from(this.iv);
    this.iv.writeBigUInt64BE(BigInt.asUintN(64, this.iv.readBigUInt64BE(4) + 1n), 4);
    return nonce;
  }

  seal(packet) {
    const cipher = crypto.createCipheriv('aes-256-gcm', this.key, this.nonce()).setAAD(packet.subarray(0, 4));
    return Buffer.concat([
      packet.subarray(0, 4),
      cipher.update(packet.subarray(4)),
      cipher.final(),
      cipher.getAuthTag(),
    ]);
  }

  open(length, body, tag) {
    const decipher = crypto.createDecipheriv('aes-256-gcm', this.key, this.nonce()).setAAD(length).setAuthTag(tag);
    return Buffer.concat([decipher.update(body), decipher.final()]);
  }
}

class Session {
  /** Number of the message that is handled, as UNIMPLEMENTED names it. */
  sequence = -1;
  /** Every message after the first key exchange. */
  heard = [];
  #events = new EventEmitter().setMaxListeners(0);
  #received = Buffer.alloc(0);
  #identification;
  #ours;
  #theirs;
  #sending;
  #receiving;
  #next;
  #hash;
  #strict = false;

  constructor(server, socket, script) {
    Object.assign(this, { server, socket, script });
    /** Resolves when the connection has closed. */
    this.closed = once(socket, 'close').catch(() => {});
    // A disconnected client is no failure of the server.
    socket.on('error', () => {});
  }

  /** Starts the protocol. */
  start() {
    this.socket.on('data', (bytes) => {
      this.#received = Buffer.concat([this.#received, bytes]);
      this.#read();
    });
    this.socket.write(`${VERSION}\r\n`);
    this.offer();
  }

  /** Sends KEXINIT: the first, or one that changes the keys. */
  offer() {
    const cipher = 'aes256-gcm@openssh.com';
    const lists = [
      'curve25519-sha256,kex-strict-s-v00@openssh.com',
      'ssh-ed25519',
      cipher,
      cipher,
      '',
      '',
      'none',
      'none',
      '',
      '',
    ];
    this.#ours = message(KEXINIT, crypto.randomBytes(16), ...lists, Buffer.of(0), 0);
    this.send(this.#ours);
  }

  /** Sends a message: its whole payload, or its number and its values. */
  send(type, ...values) {
    const payload = Buffer.isBuffer(type) ? type : message(type, ...values);
    const block = this.#sending ? 16 : 8;
    const counted = (this.#sending ? 0 : 4) + 1 + payload.length;
    const padding = 4 + ((block - ((counted + 4) % block)) % block);
    const packet = Buffer.concat([
      message(0, 1 + payload.length + padding).subarray(1),
      Buffer.of(padding),
      payload,
      Buffer.alloc(padding),
    ]);
    if (this.socket.writable) this.socket.write(this.#sending ? this.#sending.seal(packet) : packet);
  }

  #read() {
    if (this.#identification === undefined) {
      const end = this.#received.indexOf('\r\n');
      if (end < 0) return;
      this.#identification = this.#received.subarray(0, end);
      this.#received = this.#received.subarray(end + 2);
    }
    for (;;) {
      if (this.#received.length < 4) return;
      const length = this.#received.readUInt32BE();
      const end = 4 + length + (this.#receiving ? TAG : 0);
      if (this.#received.length < end) return;
      const packet = this.#received.subarray(0, end);
      this.#received = this.#received.subarray(end);
      const body = packet.subarray(4, 4 + length);
      const plain = this.#receiving
        ? this.#receiving.open(packet.subarray(0, 4), body, packet.subarray(4 + length))
        : body;
      this.sequence += 1;
      this.#handle(plain.subarray(1, plain.length - plain[0]));
    }
  }

  #handle(payload) {
    switch (payload[0]) {
      case KEXINIT:
        this.#theirs = Buffer.from(payload);
        if (this.#ours === undefined) this.offer();
        return undefined;
      case KEX_ECDH_INIT:
        return this.#exchange(new Values(payload).bytes());
      case NEWKEYS:
        this.#receiving = this.#next;
        if (this.#strict) this.sequence = -1;
        this.#ours = undefined;
        this.#events.emit('rekeyed');
        return undefined;
      default:
        this.heard.push(Buffer.from(payload));
        this.#events.emit('heard');
        return this.#answer(payload);
    }
  }

  #answer(payload) {
    const values = new Values(payload);
    switch (payload[0]) {
      case SERVICE_REQUEST:
        return this.send(SERVICE_ACCEPT, values.text());
      case USERAUTH_REQUEST: {
        const [user, , method] = [values.text(), values.text(), values.text()];
        return this.script.authenticate
          ? this.script.authenticate(this, { user, method })
          : this.send(USERAUTH_SUCCESS);
      }
      case GLOBAL_REQUEST: {
        const [name, wantsReply] = [values.text(), values.flag()];
        const answered = this.script.request?.(this, { name, wantsReply, values });
        return answered !== true && wantsReply ? this.send(REQUEST_FAILURE) : undefined;
      }
      case CHANNEL_OPEN: {
        const [type, channel] = [values.text(), values.number()];
        if (this.script.open?.(this, { type, channel, values }) !== true)
          this.send(CHANNEL_OPEN_FAILURE, channel, 1, 'no', '');
        return undefined;
      }
      default:
        return this.script.other?.(this, payload);
    }
  }

  #exchange(theirPoint) {
    const pair = crypto.generateKeyPairSync('x25519');
    const point = rawKey(pair.publicKey);
    const publicKey = crypto.createPublicKey({
      key: Buffer.concat([X25519_SPKI, theirPoint]),
      format: 'der',
      type: 'spki',
    });
    const secret = mpint(crypto.diffieHellman({ privateKey: pair.privateKey, publicKey }));
    const { hostKey, blob } = this.server;
    const hashed = [this.#identification, Buffer.from(VERSION), this.#theirs, this.#ours, blob, theirPoint, point];
    const hash = sha256(...hashed.map(string), secret);
    const first = this.#hash === undefined;
    this.#hash ??= hash;
    this.#strict ||= first && this.#theirs.includes('kex-strict-c-v00@openssh.com');
    const signature = Buffer.concat([
      string(Buffer.from('ssh-ed25519')),
      string(crypto.sign(null, hash, hostKey.privateKey)),
    ]);
    this.script.beforeReply?.(this, first);
    this.send(KEX_ECDH_REPLY, string(blob), string(point), string(signature));
    this.script.beforeNewKeys?.(this, first);
    this.send(NEWKEYS);
    const key = (letter) => sha256(secret, hash, Buffer.from(letter), this.#hash);
    this.#next = new Keys(key('C'), key('A').subarray(0, 12));
    this.#sending = new Keys(key('D'), key('B').subarray(0, 12));
  }

  /** Waits for the next message that `matches`. */
  async next(matches) {
    for (;;) {
      const at = this.heard.findIndex(matches);
      if (at >= 0) return this.heard.splice(at, 1)[0];
      await once(this.#events, 'heard');
    }
  }

  /** Rekeys, and waits for the end of the key exchange. */
  async rekey() {
    const rekeyed = once(this.#events, 'rekeyed');
    this.offer();
    await rekeyed;
  }
}

/** The name of a global request. */
export const requestName = (payload) => (payload[0] === GLOBAL_REQUEST ? new Values(payload).text() : undefined);

export class ScriptedServer {
  sessions = [];
  #events = new EventEmitter().setMaxListeners(0);

  /**
   * @param script what it does, all of it optional: `connected(session)` in place of the greeting,
   *   `authenticate(session, { user, method })`, `request(session, { name, wantsReply, values })` and
   *   `open(session, { type, channel, values })` (true: answered, or not to be), `other(session,
   *   payload)`, and in each key exchange `beforeReply(session, first)`, `beforeNewKeys(session, first)`
   */
  static async start(script = {}) {
    const server = new ScriptedServer();
    server.hostKey = crypto.generateKeyPairSync('ed25519');
    server.blob = message(0, 'ssh-ed25519', string(rawKey(server.hostKey.publicKey))).subarray(1);
    server.listener = net.createServer((socket) => {
      const session = new Session(server, socket, script);
      server.sessions.push(session);
      if (script.connected) script.connected(session, socket.resume());
      else session.start();
      server.#events.emit('session');
    });
    server.listener.listen(0, '127.0.0.1');
    await once(server.listener, 'listening');
    server.port = server.listener.address().port;
    return server;
  }

  /** The options of a tunnel that connects to this server. */
  get login() {
    return { host: '127.0.0.1', port: this.port, username: 'user', password: 'right', hostKey: this.publicKey };
  }

  /** The host key as a line. */
  get publicKey() {
    return `ssh-ed25519 ${this.blob.toString('base64')}`;
  }

  async stop() {
    const closed = once(this.listener, 'close');
    this.listener.close();
    for (const { socket } of this.sessions) socket.destroy();
    await closed;
  }
}
