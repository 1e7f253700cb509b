// A home folder with a key and a known_hosts file.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { temporaryFolder } from './keys.mjs';

/** A home folder with the first server's user key, which all servers authorize, and with their host keys. */
export function makeHome(servers) {
  const home = temporaryFolder('home');
  const [{ key }] = servers;
  for (const server of servers.slice(1)) server.authorize(key.publicKey);
  mkdirSync(join(home.path, '.ssh'), { mode: 0o700 });
  writeFileSync(join(home.path, '.ssh', 'id_ed25519'), key.privateKey, { mode: 0o600 });
  const known = servers.map(({ address, hostKeys }) => `${address} ${hostKeys[0].publicKey}\n`);
  writeFileSync(join(home.path, '.ssh', 'known_hosts'), known.join(''));
  return home;
}
