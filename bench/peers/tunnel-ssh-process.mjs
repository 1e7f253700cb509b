// tunnel-ssh as its documentation shows it.

import { createTunnel } from 'tunnel-ssh';

import { answer } from '../../__test__/helpers/process.mjs';
import { watch } from './watch.mjs';

let server;
let connection;

answer({
  ...watch,

  async open({ host, port, username, privateKey, kex, cipher, target }) {
    // It takes a port of 0 for none given, and listens on one that the system chooses either way.
    [server, connection] = await createTunnel(
      { autoClose: false, reconnectOnError: false },
      null,
      { host, port, username, privateKey, algorithms: { kex: [kex], cipher: [cipher] } },
      { dstAddr: '127.0.0.1', dstPort: target },
    );
    server.on('error', (error) => console.error(`tunnel-ssh: ${error.message}`));
    connection.on('error', (error) => console.error(`tunnel-ssh: ${error.message}`));
    return server.address().port;
  },

  close: () =>
    new Promise((done) => {
      connection.once('close', done);
      server.close();
    }),
});
