// The product as users run it: a Node program with a tunnel.

import { answer } from '../../__test__/helpers/process.mjs';
import { SSHTunnel } from '../../index.js';
import { watch } from './watch.mjs';

let tunnel;

answer({
  ...watch,

  async open({ host, port, username, privateKey, hostKey, kex, cipher, sessions, target }) {
    tunnel = new SSHTunnel({
      host,
      port,
      username,
      privateKey,
      hostKey,
      algorithms: { kex: [kex], cipher: [cipher] },
      forwardHost: '127.0.0.1',
      forwardPort: target,
      ...(sessions && { sessions }),
    });
    tunnel.on('error', (error) => console.error(error.message));
    await tunnel.promises.startListening();
    return tunnel.localPort;
  },

  close: () => tunnel.promises.shutdown(),
});
