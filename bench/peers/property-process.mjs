// The Linger property and what it is compared with, each called many times.

import { fstat } from 'node:fs';
import net from 'node:net';
import { once } from 'node:events';

import sockopt from 'sockopt';

import { answer } from '../../__test__/helpers/process.mjs';
import { SO_LINGER, SSHTunnel, getsockopt } from '../../index.js';

// As Linux numbers them; sockopt reads integers only, which LINGER is not.
const SOL_SOCKET = 1;
const SO_KEEPALIVE = 9;

const server = net.createServer().listen(0, '127.0.0.1');
await once(server, 'listening');
const socket = net.connect(server.address().port, '127.0.0.1');
await once(socket, 'connect');
const { fd } = socket._handle;
const tunnel = new SSHTunnel({ host: '127.0.0.1', forwardHost: '127.0.0.1', forwardPort: 1 });

const blocking = {
  getLinger: () => tunnel.getLinger(),
  setLinger: () => tunnel.setLinger(true),
  listening: () => tunnel.listening,
  getsockopt: () => getsockopt(socket, SO_LINGER),
  sockopt: () => sockopt.getsockopt(socket, SOL_SOCKET, SO_KEEPALIVE),
};

const withCallback = {
  getLinger: (callback) => tunnel.getLinger(callback),
  setLinger: (callback) => tunnel.setLinger(true, callback),
  fstat: (callback) => fstat(fd, callback),
};

const each = (began, count) => ((performance.now() - began) * 1e6) / count;

answer({
  /** Nanoseconds of a call. */
  blocking(name, count) {
    const call = blocking[name];
    const began = performance.now();
    for (let done = 0; done < count; done++) call();
    return each(began, count);
  },

  /** Nanoseconds from a call to its callback, which makes the next call. */
  series: (name, count) =>
    new Promise((resolve, reject) => {
      const call = withCallback[name];
      const began = performance.now();
      let left = count;
      const next = (error) => {
        if (error) reject(error);
        else if (left-- === 0) resolve(each(began, count));
        else call(next);
      };
      next(null);
    }),

  /** Nanoseconds of a call and its callback, where all calls are made before the first callback. */
  atOnce: (name, count) =>
    new Promise((resolve, reject) => {
      const call = withCallback[name];
      const began = performance.now();
      let left = count;
      const called = (error) => {
        if (error) reject(error);
        else if (--left === 0) resolve(each(began, count));
      };
      for (let made = 0; made < count; made++) call(called);
    }),
});
