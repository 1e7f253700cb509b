// HTTP and SOCKS proxies on free local ports: tinyproxy, squid and dante, and one in this process that a test scripts.

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';

import { launch, onFreePort, stopper } from './daemon.mjs';
import { ensurePackages, findProgram } from './ensure-sshd.mjs';
import { temporaryFolder } from './keys.mjs';

/** Squid's check of a file of passwords; Debian has it beside the program. */
const NCSA = ['/usr/lib/squid/basic_ncsa_auth', '/usr/lib64/squid/basic_ncsa_auth'].find((path) => existsSync(path));

/** The credentials of every proxy that has some. */
export const LOGIN = { username: 'anna', password: 'pass-word.1' };

/** The hash of a password as files of passwords have it. */
const hash = (kind, input) => execFileSync('openssl', ['passwd', kind, '-stdin'], { input }).toString().trim();

async function serve(program, { args, lines, ready, files = () => {}, env = () => ({}) }) {
  const folder = temporaryFolder(program);
  // Squid and dante give up their rights.
  chmodSync(folder.path, 0o755);
  const at = (name) => join(folder.path, name);
  const logFile = at('log');
  files(at);
  let proxy;
  try {
    await onFreePort(program, logFile, (port) => {
      writeFileSync(at('conf'), `${lines(port, at).join('\n')}\n`);
      const { child, listening } = launch(findProgram(program), args(at('conf')), {
        env: { ...process.env, ...env(at) },
        logFile,
        ready,
      });
      proxy = { port, stop: stopper(child, folder) };
      return listening;
    });
  } catch (error) {
    folder.remove();
    throw error;
  }
  return proxy;
}

const tinyproxy = (login) =>
  serve('tinyproxy', {
    args: (conf) => ['-d', '-c', conf],
    ready: /Accepting connections/,
    lines: (port) => [
      `Port ${port}`,
      'Listen 127.0.0.1',
      'Timeout 600',
      'LogLevel Info',
      'Allow 127.0.0.1',
      ...(login ? [`BasicAuth ${login.username} ${login.password}`] : []),
    ],
  });

const squid = (login) =>
  serve('squid', {
    args: (conf) => ['-N', '-d1', '-f', conf],
    // It says that it accepts connections a moment before it does, and this a second later.
    ready: /storeLateRelease/,
    files: (at) => {
      if (login) writeFileSync(at('passwords'), `${login.username}:${hash('-apr1', login.password)}\n`);
    },
    lines: (port, at) => [
      `http_port 127.0.0.1:${port}`,
      'visible_hostname localhost',
      'pid_filename none',
      'cache_log stdio:/dev/stderr',
      'access_log none',
      'cache deny all',
      'pinger_enable off',
      'shutdown_lifetime 0 seconds',
      ...(login
        ? [
            `auth_param basic program ${NCSA} ${at('passwords')}`,
            'acl known proxy_auth REQUIRED',
            'http_access allow known',
          ]
        : ['http_access allow all']),
      'http_access deny all',
    ],
  });

/** Dante has the passwords of accounts: those of files that stand for the system's, by Debian's libnss-wrapper. */
const dante = (login) =>
  serve('danted', {
    args: (conf) => ['-f', conf, '-N', '1'],
    ready: /v1\.\S+ running/,
    files: (at) => {
      writeFileSync(
        at('passwd'),
        'root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\nanna:x:4242:4242::/:/bin/false\n',
      );
      writeFileSync(at('group'), 'root:x:0:\nnogroup:x:65534:\n');
      if (login) writeFileSync(at('shadow'), `${login.username}:${hash('-6', login.password)}:19000:0:99999:7:::\n`);
    },
    env: (at) => ({
      LD_PRELOAD: 'libnss_wrapper.so',
      NSS_WRAPPER_PASSWD: at('passwd'),
      NSS_WRAPPER_GROUP: at('group'),
      NSS_WRAPPER_SHADOW: at('shadow'),
    }),
    lines: (port) => [
      'logoutput: stdout',
      `internal: 127.0.0.1 port = ${port}`,
      'external: lo',
      'clientmethod: none',
      `socksmethod: ${login ? 'username' : 'none'}`,
      'user.privileged: root',
      'user.unprivileged: nobody',
      'client pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }',
      'socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 command: connect',
      '}',
    ],
  });

/** Real proxies by their names; `start` takes the credentials that they require, if any. */
export const PROXIES = {
  tinyproxy: { scheme: 'http', start: tinyproxy, isThere: () => ensurePackages(['tinyproxy'], ['tinyproxy']) },
  squid: { scheme: 'http', start: squid, isThere: () => ensurePackages(['squid'], ['squid']) },
  dante: {
    scheme: 'socks5',
    start: dante,
    isThere: () => process.getuid() === 0 && ensurePackages(['danted'], ['dante-server', 'libnss-wrapper']),
  },
};

/** A proxy in this process: what a client sends is passed to `serve`, which may join it to a server. */
export class ScriptedProxy {
  /** The messages of clients: heads of HTTP requests, requests of SOCKS 5. */
  requests = [];
  #listener;
  #sockets = new Set();

  /** @param {(proxy: ScriptedProxy, socket: net.Socket) => unknown} serve called for each client */
  static async start(serve, host = '127.0.0.1') {
    const proxy = new ScriptedProxy();
    proxy.#listener = net.createServer((socket) => {
      proxy.#keep(socket);
      serve(proxy, socket);
    });
    proxy.#listener.listen(0, host);
    await once(proxy.#listener, 'listening');
    return proxy;
  }

  get port() {
    return this.#listener.address().port;
  }

  #keep(socket) {
    this.#sockets.add(socket);
    socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket));
  }

  /** Ends the connections, as a proxy that is restarted. */
  cut() {
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop() {
    this.cut();
    this.#listener.close();
    await once(this.#listener, 'close');
  }

  /** Joins a client to a port of this machine. `reply` is sent with the first bytes of that server, in one write. */
  async join(socket, port, reply) {
    const onwards = net.connect(port, '127.0.0.1');
    this.#keep(onwards);
    const [first] = await once(onwards, 'data');
    socket.write(Buffer.concat([Buffer.from(reply), first]));
    socket.pipe(onwards).pipe(socket);
  }
}

/** Serves CONNECT: every request leads to this port. */
export const serveHttp =
  (port, reply = 'HTTP/1.1 200 OK\r\n\r\n') =>
  async (proxy, socket) => {
    const [head] = await once(socket, 'data');
    proxy.requests.push(head.toString());
    if (port === undefined) socket.end(reply);
    else await proxy.join(socket, port, reply);
  };

/** Serves SOCKS 5 without authentication: every request leads to this port. */
export const serveSocks =
  (port, code = 0) =>
  async (proxy, socket) => {
    await once(socket, 'data');
    socket.write(Buffer.of(5, 0));
    const [request] = await once(socket, 'data');
    proxy.requests.push(request);
    const reply = Buffer.of(5, code, 0, 1, 0, 0, 0, 0, 0, 0);
    if (code === 0) await proxy.join(socket, port, reply);
    else socket.end(reply);
  };
