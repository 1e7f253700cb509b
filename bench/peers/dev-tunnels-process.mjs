// The port forwarding of @microsoft/dev-tunnels-ssh-tcp as its documentation shows it.

import { readFileSync } from 'node:fs';

import devTunnelsKeys from '@microsoft/dev-tunnels-ssh-keys';
import devTunnels from '@microsoft/dev-tunnels-ssh';
import devTunnelsTCP from '@microsoft/dev-tunnels-ssh-tcp';

import { answer } from '../../__test__/helpers/process.mjs';
import { watch } from './watch.mjs';

const { SshAlgorithms, SshSessionConfiguration } = devTunnels;
const { PortForwardingService, SshClient } = devTunnelsTCP;

let client;

answer({
  ...watch,

  async open({ host, port, username, keyFile, target }) {
    const config = new SshSessionConfiguration();
    config.addService(PortForwardingService);
    config.keyExchangeAlgorithms.splice(0, Infinity, SshAlgorithms.keyExchange.ecdhNistp256Sha256);
    config.encryptionAlgorithms.splice(0, Infinity, SshAlgorithms.encryption.aes256Gcm);
    client = new SshClient(config);
    const session = await client.openSession(host, port);
    session.onAuthenticating((event) => (event.authenticationPromise = Promise.resolve({})));
    const key = await devTunnelsKeys.importKey(readFileSync(keyFile, 'utf8'));
    if (!(await session.authenticate({ username, publicKeys: [key] }))) throw new Error('not let in');
    const service = session.activateService(PortForwardingService);
    const forwarder = await service.forwardToRemotePort('127.0.0.1', 0, '127.0.0.1', target);
    return forwarder.localPort;
  },

  close: () => client.dispose(),
});
