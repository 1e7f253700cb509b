// getsockopt() and setsockopt() on every kind of socket: what they store, what they reject, and what the kernel has.

import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { spawnSync } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import net from 'node:net';
import { constants } from 'node:os';
import { join } from 'node:path';
import { Duplex, PassThrough } from 'node:stream';
import tls from 'node:tls';

import { SOL_SOCKET, SO_DONTLINGER, SO_LINGER, closesocket, getsockopt, promises, setsockopt } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { Peer } from '../helpers/peers.mjs';
import { ROOT, descriptors, run } from '../helpers/process.mjs';
import { TLS_CLIENT, httpPair, netPair, tlsPair, wrappedPair } from '../helpers/sockets.mjs';

const linger = (l_onoff, l_linger) => ({ l_onoff, l_linger });

/** The outcome of a callback form, which must not call back before it has returned. */
function called(method, ...args) {
  return new Promise((resolve, reject) => {
    let returned = false;
    const result = method(...args, (...outcome) => {
      assert.equal(returned, true, 'called back too early');
      if (outcome[0] === null) resolve(outcome[1]);
      else if (outcome.length === 1) reject(outcome[0]);
      else reject(new Error(`an error and ${outcome[1]}`));
    });
    assert.equal(result, undefined);
    returned = true;
  });
}

/** The three forms of a function: each may throw or reject. */
const forms = (method) => [
  async (...args) => method(...args),
  (...args) => called(method, ...args),
  (...args) => promises[method.name](...args),
];

test('getsockopt() and setsockopt() work on each kind of socket in each form', async () => {
  const before = descriptors();
  for (const make of [netPair, tlsPair, wrappedPair, httpPair]) {
    const { server, client, accepted, stop } = await make();
    for (const socket of [server, client, accepted, accepted._handle.fd]) {
      assert.deepEqual(getsockopt(socket, SO_LINGER), linger(0, 0), 'fresh');
      const [getters, setters] = [forms(getsockopt), forms(setsockopt)];
      for (const time of [7, 0, 65535, 1]) {
        for (const onoff of [0, 1]) {
          const value = linger(onoff, time);
          for (const [index, set] of setters.entries()) {
            assert.equal(await set(socket, SO_LINGER, linger(1, 9)), undefined);
            assert.equal(await set(socket, SO_LINGER, value), undefined);
            assert.deepEqual(await getters[index](socket, SO_LINGER), value);
            assert.equal(await getters[index](socket, SO_DONTLINGER), onoff === 1);
          }
        }
      }
      setsockopt(socket, SO_LINGER, linger(65535, 3));
      assert.deepEqual(getsockopt(socket, SO_LINGER), linger(1, 3), 'on is 1 to the kernel');
      setsockopt(socket, SO_LINGER, linger(0, 0));
    }
    await stop();
  }
  assert.equal(descriptors(), before);
});

test('SO_DONTLINGER toggles lingering and never selects a hard close', async () => {
  const { client, accepted, stop } = await netPair();
  const switched = (value) => {
    setsockopt(client, SO_DONTLINGER, value);
    assert.equal(getsockopt(client, SO_DONTLINGER), Boolean(value));
    return getsockopt(client, SO_LINGER);
  };
  assert.deepEqual(switched(0), linger(0, 0));
  assert.deepEqual(switched(1), linger(1, 30), 'fresh');
  setsockopt(client, SO_LINGER, linger(1, 7));
  assert.deepEqual(switched(0), linger(0, 7));
  assert.deepEqual(switched(65535), linger(1, 7));
  assert.deepEqual(switched(false), linger(0, 7));
  assert.deepEqual(switched(true), linger(1, 7));
  setsockopt(client, SO_LINGER, linger(1, 0));
  assert.deepEqual(switched(1), linger(1, 7), 'the last time that was not zero');
  setsockopt(client, SO_LINGER, linger(1, 0));
  assert.deepEqual(switched(0), linger(0, 0));
  assert.deepEqual(switched(1), linger(1, 7));
  setsockopt(accepted, SO_LINGER, linger(1, 0));
  setsockopt(accepted, SO_DONTLINGER, true);
  assert.deepEqual(getsockopt(accepted, SO_LINGER), linger(1, 30), 'there never was a time');
  await stop();
});

test('invalid arguments are named in errors and change nothing', async () => {
  const { client, stop } = await netPair();
  const kept = linger(1, 11);
  setsockopt(client, SO_LINGER, kept);
  const type = (name) => ({ name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE', message: new RegExp(`"${name}"`) });
  const range = (name) => ({ name: 'RangeError', code: 'ERR_OUT_OF_RANGE', message: new RegExp(`"${name}"`) });
  const refused = async (args, expected) => {
    assert.throws(() => setsockopt(...args), expected);
    assert.throws(() => setsockopt(...args, () => assert.fail('called back')), expected);
    await assert.rejects(promises.setsockopt(...args), expected);
    assert.deepEqual(getsockopt(client, SO_LINGER), kept);
  };
  for (const member of ['l_onoff', 'l_linger']) {
    for (const value of [-1, 65536, 1.5, NaN, Infinity]) {
      await refused([client, SO_LINGER, { ...linger(1, 1), [member]: value }], range(`optval.${member}`));
    }
    for (const value of ['5', true, null, undefined, 5n, {}]) {
      await refused([client, SO_LINGER, { ...linger(1, 1), [member]: value }], type(`optval.${member}`));
    }
    const { [member]: _, ...rest } = linger(1, 1);
    await refused([client, SO_LINGER, rest], type(`optval.${member}`));
  }
  for (const value of [null, undefined, 5, '5', true, []]) await refused([client, SO_LINGER, value], type('optval'));
  for (const value of [-1, 65536, 1.5, NaN]) await refused([client, SO_DONTLINGER, value], range('optval'));
  for (const value of ['1', null, undefined, {}]) await refused([client, SO_DONTLINGER, value], type('optval'));
  for (const name of ['13', undefined, null]) await refused([client, name, kept], type('optname'));
  for (const name of [0, SOL_SOCKET, NaN, SO_LINGER + 0.5]) {
    await refused([client, name, kept], { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE', message: /'optname'/ });
  }
  const strangers = ['3', null, undefined, {}, new PassThrough(), dgram.createSocket('udp4').unref()];
  for (const socket of strangers) await refused([socket, SO_LINGER, kept], type('socket'));
  for (const number of [-1, 2 ** 31, 1.5, NaN]) await refused([number, SO_LINGER, kept], range('socket'));
  for (const callback of [5, null, {}]) {
    for (const call of [
      () => getsockopt(client, SO_LINGER, callback),
      () => setsockopt(client, SO_LINGER, linger(1, 1), callback),
      () => closesocket(client, callback),
    ]) {
      assert.throws(call, type('callback'));
      assert.deepEqual(getsockopt(client, SO_LINGER), kept);
    }
  }
  for (const socket of strangers) assert.throws(() => closesocket(socket), type('socket'));
  await stop();
});

/** Asserts that each form of each function gives the same system error. */
async function assertFails(socket, code) {
  const errno = -constants.errno[code];
  for (const [method, ...args] of [
    [getsockopt, SO_LINGER],
    [setsockopt, SO_LINGER, linger(1, 1)],
    [setsockopt, SO_DONTLINGER, 1],
    [closesocket],
  ]) {
    for (const form of forms(method)) {
      await assert.rejects(form(socket, ...args), (error) => {
        assert.ok(error instanceof Error);
        assert.deepEqual(
          { code: error.code, errno: error.errno, syscall: error.syscall },
          { code, errno, syscall: method.name },
        );
        assert.ok(error.message.startsWith(`${method.name} ${code}`), error.message);
        return true;
      });
    }
  }
}

test('anything but a connected TCP socket is rejected with a code', async () => {
  const before = descriptors();
  const folder = temporaryFolder('sockets');
  await assertFails(1_000_000, 'EBADF');
  const file = openSync('/dev/null', 'r');
  await assertFails(file, 'ENOTSOCK');
  closeSync(file);

  const { server, client, accepted, stop } = await netPair();
  const connecting = net.connect(server.address().port, '127.0.0.1');
  assert.throws(() => getsockopt(connecting, SO_LINGER), { code: 'ENOTCONN' });
  await once(connecting, 'connect');
  getsockopt(connecting, SO_LINGER);
  connecting.destroy();
  await assertFails(connecting, 'EBADF');
  const looking = net.connect({ port: 1, host: 'nowhere', lookup: () => {} });
  await assertFails(looking, 'ENOTCONN');
  looking.destroy();
  await assertFails(new net.Socket(), 'ENOTCONN');
  await assertFails(net.createServer(), 'EBADF');
  const path = join(folder.path, 'socket');
  const local = net.createServer((socket) => socket.resume()).listen(path);
  await once(local, 'listening');
  await assertFails(local, 'ENOTSUP');
  const pipe = net.connect(path);
  await once(pipe, 'connect');
  await assertFails(pipe, 'ENOTSUP');
  await assertFails(pipe._handle.fd, 'ENOTSUP');
  assert.equal(local.listening, true);
  pipe.destroy();
  local.close();

  const duplex = new Duplex({
    read() {},
    write(chunk, encoding, done) {
      done();
    },
  });
  const overStream = tls.connect({ ...TLS_CLIENT, socket: duplex });
  overStream.on('error', () => {});
  await assertFails(overStream, 'ENOTSOCK');
  overStream.destroy();
  duplex.destroy();

  // The rejected arguments and everything else are unchanged.
  client.end('whole');
  assert.equal((await once(accepted, 'data')).toString(), 'whole');
  await stop();
  server.close();
  await assertFails(server, 'EBADF');
  folder.remove();
  assert.equal(descriptors(), before);
});

test('callbacks keep call order and async context', async () => {
  const { client, stop } = await netPair();
  const storage = new AsyncLocalStorage();
  const seen = [];
  await new Promise((resolve) => {
    for (let count = 0; count < 1000; count++) {
      storage.run(count, () => {
        const get = (error, value) => seen.push([storage.getStore(), error, value.l_linger]);
        if (count % 2 === 0) setsockopt(client, SO_LINGER, linger(1, count), () => {});
        getsockopt(client, SO_LINGER, get);
        assert.equal(getsockopt(client, SO_LINGER).l_linger, count - (count % 2), 'a blocking call sees it');
      });
    }
    getsockopt(client, SO_LINGER, resolve);
  });
  assert.deepEqual(
    seen,
    Array.from({ length: 1000 }, (_, count) => [count, null, count - (count % 2)]),
  );
  await stop();
});

test('SO_LINGER decides what the peer of a destroyed socket sees', async () => {
  for (const [value, end] of [
    [linger(1, 0), 'ECONNRESET'],
    [linger(0, 5), 'FIN'],
    [linger(1, 5), 'FIN'],
  ]) {
    const { client, accepted, stop } = await netPair();
    const peer = new Peer(accepted);
    client.write('x');
    await peer.received(1);
    setsockopt(client, SO_LINGER, value);
    client.destroy();
    assert.equal((await peer.ended).end, end);
    await stop();
  }
});

const READERS = [
  {
    name: 'the addon of another process',
    command: [
      process.execPath,
      '-e',
      `
      const { SO_LINGER, getsockopt } = require(${JSON.stringify(ROOT)});
      const { l_onoff, l_linger } = getsockopt(3, SO_LINGER);
      console.log(l_onoff, l_linger);
    `,
    ],
  },
  {
    name: 'Python',
    skip: spawnSync('python3', ['--version']).status !== 0 && 'there is no python3',
    command: [
      'python3',
      '-c',
      `
import socket, struct
print(*struct.unpack('ii', socket.socket(fileno=3).getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)))
`,
    ],
  },
];

for (const {
  name,
  skip,
  command: [command, ...args],
} of READERS) {
  test(`${name} reads the same value from the kernel`, { skip }, async () => {
    for (const make of [netPair, tlsPair]) {
      const { client, server, stop } = await make();
      for (const socket of [client, server]) {
        for (const value of [linger(0, 0), linger(1, 65535), linger(0, 9), linger(1, 0)]) {
          setsockopt(socket, SO_LINGER, value);
          const { stdout, stderr } = await run(command, args, { stdio: ['ignore', 'pipe', 'pipe', socket._handle.fd] });
          assert.equal(stdout, `${value.l_onoff} ${value.l_linger}\n`, stderr);
          assert.deepEqual(getsockopt(socket, SO_LINGER), value);
        }
      }
      await stop();
    }
  });
}

test('a value set by another process is returned', async () => {
  const { client, stop } = await netPair();
  const { code, stderr } = await run(
    process.execPath,
    [
      '-e',
      `
    const { SO_LINGER, setsockopt } = require(${JSON.stringify(ROOT)});
    setsockopt(3, SO_LINGER, { l_onoff: 1, l_linger: 77 });
  `,
    ],
    { stdio: ['ignore', 'pipe', 'pipe', client._handle.fd] },
  );
  assert.equal(code, 0, stderr);
  assert.deepEqual(getsockopt(client, SO_LINGER), linger(1, 77));
  await stop();
});
