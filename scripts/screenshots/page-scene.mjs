// What page.mjs takes pictures of: servers in this process, and connections that come, move bytes and end in all ways.

import { once } from 'node:events';
import net from 'node:net';

import { freePort } from '../../__test__/helpers/daemon.mjs';
import { temporaryFolder } from '../../__test__/helpers/keys.mjs';
import { Ssh2Server } from '../../__test__/helpers/ssh2-server.mjs';
import { request5 } from '../../__test__/helpers/socks.mjs';

const KIB = 1024;
/** Milliseconds between two pieces of a connection that moves bytes. */
const TICK = 50;

/** What the targets of short connections send, in bytes per second. */
const SHORT = 600 * KIB;

/** What the targets send, and the clients, in bytes per second. */
const TRAFFIC = {
  'db.internal:5432': [
    { up: 3 * KIB, down: 3400 * KIB },
    { up: 9 * KIB, down: 120 * KIB },
    { up: 2 * KIB, down: 18 * KIB },
    { up: 0, down: 0 },
  ],
  'cache.internal:6379': [
    { up: 34 * KIB, down: 61 * KIB },
    { up: 12 * KIB, down: 15 * KIB },
  ],
  'files.internal:443': [{ up: 900 * KIB, down: 7 * KIB }],
  'api.internal:80': [{ up: 1 * KIB, down: 260 * KIB }],
};

/** Sends bytes at a rate that swings around this one. @param {net.Socket} socket */
function pace(socket, rate) {
  if (rate === 0) return;
  const phase = Math.random() * 6;
  const timer = setInterval(() => {
    const swing = 1 + 0.55 * Math.sin(phase + performance.now() / 4000);
    if (socket.writable && !socket.writableNeedDrain)
      socket.write(Buffer.alloc(Math.ceil((rate * swing * TICK) / 1000)));
  }, TICK);
  socket.once('close', () => clearInterval(timer));
}

async function listen(behave) {
  const server = net.createServer(behave).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** A local client of a port. */
async function client(port) {
  const socket = net.connect(port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

/** Asks a SOCKS proxy for a target. */
async function throughSocks(port, host, targetPort) {
  const socket = await client(port);
  socket.write(Buffer.of(5, 1, 0));
  await once(socket, 'data');
  socket.write(request5(host, targetPort, { name: true }));
  await once(socket, 'data');
  return socket;
}

export class Scene {
  #server;
  #folder = temporaryFolder('scene');
  #targets = [];
  #clients = [];
  /** Whether the next connections are the ones of TRAFFIC. */
  #isLong = false;

  static async start() {
    const scene = new Scene();
    const rates = new Map(Object.entries(TRAFFIC).map(([place, list]) => [place, list.map(({ down }) => down)]));
    const ports = new Map();
    for (const place of [...rates.keys(), 'idle']) {
      const target = await listen((socket) => {
        socket.on('error', () => {}).resume();
        pace(socket, scene.#isLong ? (rates.get(place)?.shift() ?? 0) : SHORT);
      });
      scene.#targets.push(target);
      ports.set(place, target.address().port);
    }
    scene.#server = await Ssh2Server.start({
      authenticate: (context) => context.accept(),
      onOpen: (open) => {
        const place = `${open.destIP}:${open.destPort}`;
        // A target that nothing listens on.
        if (place.startsWith('old.')) open.reject();
        else open.connect({ host: '127.0.0.1', port: ports.get(place) ?? ports.get('idle') });
      },
    });
    scene.ports = { db: await freePort(), cache: await freePort(), socks: await freePort() };
    return scene;
  }

  /** The command line. */
  get args() {
    const { db, cache, socks } = this.ports;
    const dial =
      `const socket = require('net').connect(${this.#server.port}, '127.0.0.1');` +
      "socket.on('error', () => {}); process.stdout.on('error', () => {}); process.stdin.pipe(socket).pipe(process.stdout)";
    const known = `bastion.example.com ${this.#server.hostKeys[0].public}\n`;
    const options = [
      `ProxyCommand=${process.execPath} -e "${dial}"`,
      `UserKnownHostsFile=${this.#folder.write(known)}`,
      'GlobalKnownHostsFile=none',
      'UpdateHostKeys=no',
      'IdentityAgent=none',
      'Reconnect=yes',
    ].flatMap((option) => ['-o', option]);
    const forwards = ['-L', `${db}:db.internal:5432`, '-L', `${cache}:cache.internal:6379`, '-D', `${socks}`];
    return ['-F', 'none', ...options, ...forwards, 'me@bastion.example.com'];
  }

  /** Opens connections; some of them end again. Everything listens already. */
  async play() {
    const { db, cache, socks } = this.ports;
    const short = [await client(db), await client(cache), await client(db)];
    for (const socket of short) socket.write(Buffer.alloc(40 * KIB));
    (await throughSocks(socks, 'old.internal', 443)).destroy();
    await new Promise((resolve) => setTimeout(resolve, 1500));
    short[0].resetAndDestroy();
    for (const socket of short.slice(1)) socket.resume().end();
    this.#isLong = true;
    for (const [place, list] of Object.entries(TRAFFIC)) {
      const [host, port] = place.split(':');
      for (const { up } of list) {
        const local = { 'db.internal': db, 'cache.internal': cache }[host];
        const socket = await (local === undefined ? throughSocks(socks, host, Number(port)) : client(local));
        socket.resume();
        pace(socket, up);
        this.#clients.push(socket);
      }
    }
  }

  async stop() {
    for (const socket of this.#clients) socket.destroy();
    for (const target of this.#targets) target.close();
    await this.#server.stop();
    this.#folder.remove();
  }
}
