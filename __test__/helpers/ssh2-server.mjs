// An SSH server in this process, made of the package ssh2: it misbehaves on request and reports what it received.

import { EventEmitter, once } from 'node:events';
import net from 'node:net';
import { setImmediate } from 'node:timers/promises';
import ssh2 from 'ssh2';

/** Why a server refuses to open a channel (RFC 4254 section 5.1). */
export const REASONS = {
  ADMINISTRATIVELY_PROHIBITED: 1,
  CONNECT_FAILED: 2,
  UNKNOWN_CHANNEL_TYPE: 3,
  RESOURCE_SHORTAGE: 4,
};

export class Ssh2Server {
  /** The protocol log of ssh2, line by line. */
  lines = [];
  /** The number of authentication attempts, without the request for the methods. */
  attempts = 0;
  /** Opened channels, in order. */
  channels = [];
  #clients = new Set();
  #events = new EventEmitter().setMaxListeners(0);
  #taken = 0;

  /**
   * @param options.onOpen decides about each channel; default: connects it to its target
   * @param options.authenticate decides about each attempt instead, as ssh2 has it; its second
   *   argument is an object of its session's own, whose `send` sends any message, whose `flood`
   *   sends it for as long as there is somebody, and whose `end` ends it
   * @param options.publicKey lines of authorized keys; `user` with password `right` is accepted
   */
  static async start({ onOpen = (open) => open.connect(), authenticate, publicKey, hostKeys, ...config } = {}) {
    const server = new Ssh2Server();
    server.#prepareKeys(hostKeys);
    const authorized = [publicKey ?? []].flat().map((line) => ssh2.utils.parseKey(line));
    server.server = new ssh2.Server({
      ...config,
      hostKeys: server.hostKeys.map((key) => key.private),
      debug: (line) => {
        server.lines.push(line);
        server.#events.emit('line');
      },
    });
    server.server.on('connection', (client) => {
      server.#clients.add(client);
      client.on('close', () => server.#clients.delete(client));
      client.on('error', () => {}); // a disconnected tunnel is no failure of the server
      const session = {
        send: (payload) => send(client._protocol, payload),
        flood: (payload) => flood(client, payload),
        end: () => client.end(),
      };
      client.on('authentication', (context) => {
        if (authenticate) authenticate(context, session);
        else server.#authenticate(context, authorized);
      });
      client.on('tcpip', (accept, reject, info) => onOpen(server.#open(client, accept, reject, info)));
    });
    server.server.listen(0, '127.0.0.1');
    await once(server.server, 'listening');
    server.port = server.server.address().port;
    return server;
  }

  #prepareKeys(given) {
    // Not ed25519: ssh2 1.17 cannot read about one in some hundred of the keys that it generates.
    this.hostKeys = given ?? [ssh2.utils.generateKeyPairSync('ecdsa', { bits: 256 })];
  }

  /** The options of a tunnel that connects to this server. */
  get login() {
    const hostKey = this.hostKeys.map((key) => key.public);
    return { host: '127.0.0.1', port: this.port, username: 'user', password: 'right', hostKey };
  }

  #authenticate(context, authorized) {
    if (context.method === 'none') return context.reject(['publickey', 'password']);
    this.attempts++;
    const known = context.username === 'user';
    if (context.method === 'password' && known && context.password === 'right') {
      return context.accept();
    }
    if (context.method === 'publickey' && known) {
      const key = authorized.find((own) => context.key.data.equals(own.getPublicSSH()));
      const verify = () => key.verify(context.blob, context.signature, context.hashAlgo) === true;
      if (key && (!context.signature || verify())) return context.accept();
    }
    return context.reject(['publickey', 'password']);
  }

  /** One request to open a channel: accept it, with a `window` of its own, connect it, refuse it, or leave it without answer. */
  #open(client, accept, reject, info) {
    const accepted = ({ window } = {}) => {
      const protocol = client._protocol;
      const send = protocol.channelOpenConfirm;
      if (window !== undefined)
        protocol.channelOpenConfirm = (recipient, sender, _, most) =>
          send.call(protocol, recipient, sender, window, most);
      const channel = accept();
      protocol.channelOpenConfirm = send;
      this.channels.push(channel);
      this.#events.emit('channel');
      return channel;
    };
    return {
      ...info,
      accept: accepted,
      reject: (reason = REASONS.CONNECT_FAILED) => {
        const send = client._protocol.channelOpenFail;
        client._protocol.channelOpenFail = (recipient, _, text) => send.call(client._protocol, recipient, reason, text);
        reject();
        client._protocol.channelOpenFail = send;
      },
      connect: ({ host = info.destIP, port = info.destPort } = {}) => {
        const socket = net.connect({ host, port, allowHalfOpen: true });
        socket.once('connect', () => join(accepted(), socket));
        socket.once('error', reject); // ignored by ssh2 once the channel is open
      },
    };
  }

  /** The next channel that was accepted. */
  async nextChannel() {
    while (this.channels.length <= this.#taken) await once(this.#events, 'channel');
    return this.channels[this.#taken++];
  }

  /** Waits until a line of the protocol log matches. */
  async logged(pattern) {
    for (let next = 0; ; next++) {
      while (next >= this.lines.length) await once(this.#events, 'line');
      if (pattern.test(this.lines[next])) return this.lines[next];
    }
  }

  /** Whether any message about the user has arrived, including the service request. */
  sawAuthentication() {
    return this.lines.some((line) => /Inbound: Received (SERVICE_REQUEST|USERAUTH)/.test(line));
  }

  get sessions() {
    return this.#clients.size;
  }

  /** Closes the connections of the oldest sessions, or of all, without a DISCONNECT. */
  dropSessions(count = Infinity) {
    for (const client of Array.from(this.#clients).slice(0, count)) client._sock.destroy();
  }

  async stop() {
    const closed = once(this.server, 'close');
    this.server.close();
    this.dropSessions();
    await closed;
  }
}

/** Sends a message that ssh2 itself would not send. */
function send(protocol, payload) {
  const { write } = protocol._packetRW;
  const start = write.allocStart;
  const packet = write.alloc(payload.length);
  payload.copy(packet, start);
  protocol._cipher.encrypt(write.finalize(packet));
}

/** Sends a message repeatedly, as fast as the client reads, until the connection has closed. */
async function flood(client, payload) {
  const socket = client._sock;
  const gone = new Promise((done) => socket.once('close', done));
  while (socket.writable) {
    send(client._protocol, payload);
    if (socket.writableNeedDrain) {
      await Promise.race([new Promise((done) => socket.once('drain', done)), gone]);
      await setImmediate(); // or this loop would block the process
    }
  }
}

/** Joins a channel and a socket; each direction ends by itself. */
export function join(channel, socket) {
  let open = 2;
  const ended = () => --open === 0 && channel.close();
  socket.on('data', (chunk) => channel.write(chunk) || socket.pause());
  channel.on('drain', () => socket.resume());
  socket.on('end', () => {
    // Not end(): ssh2 would send CLOSE with it and cut the other direction.
    channel.write(Buffer.alloc(0), () => {
      channel.eof();
      ended();
    });
  });
  channel.on('data', (chunk) => socket.write(chunk) || channel.pause());
  socket.on('drain', () => channel.resume());
  channel.on('end', () => {
    socket.end();
    ended();
  });
  channel.on('close', () => socket.destroySoon());
  channel.on('error', () => socket.destroy());
  socket.on('error', () => channel.close());
}
