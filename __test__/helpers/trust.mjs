// Connects with the host key options of a test and no others.

import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { SSHTunnel } from '../../index.js';
import { temporaryFolder } from './keys.mjs';

/** Connects without `hostKey`, and shuts down. */
export async function connectOnce(server, trust) {
  const tunnel = new SSHTunnel({
    ...server.login,
    hostKey: undefined,
    knownHosts: [],
    forwardHost: '127.0.0.1',
    forwardPort: 1,
    ...trust,
  });
  try {
    await tunnel.promises.connect();
  } finally {
    await tunnel.promises.shutdown();
  }
}

/** Files of known hosts in a temporary folder. */
export class KnownHosts {
  #folder = temporaryFolder('known-hosts');

  get path() {
    return this.#folder.path;
  }

  /** A new file with these lines; the path of it. */
  file(...lines) {
    const file = this.missing();
    writeFileSync(file, lines.map((line) => `${line}\n`).join(''));
    return file;
  }

  /** The path of a file that does not exist. */
  missing() {
    return join(mkdtempSync(join(this.path, 'known-')), 'known_hosts');
  }

  remove() {
    this.#folder.remove();
  }
}
