// Programs that record that they were started, with nothing else on the PATH.

import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { temporaryFolder } from './keys.mjs';

export class Canaries {
  #folder = temporaryFolder('canaries');
  #log;

  /** @param {...string} names of the programs; all of them end with status 0 */
  constructor(...names) {
    this.#log = join(this.#folder.path, 'log');
    // Built into the shell, or by their paths: these need no PATH.
    for (const name of names)
      writeFileSync(join(this.#folder.path, name), `#!/bin/sh\nprintf '%s\\n' "${name} $*" >> '${this.#log}'\n`, {
        mode: 0o755,
      });
    /** What a process needs to find these, and no others. */
    this.env = { PATH: this.#folder.path, SHELL: '/bin/sh' };
  }

  /** A folder for other files. */
  file(name) {
    return join(this.#folder.path, name);
  }

  /** The programs started since the last call, with their arguments. */
  started() {
    if (!existsSync(this.#log)) return [];
    const lines = readFileSync(this.#log, 'utf8').trimEnd().split('\n');
    rmSync(this.#log);
    return lines;
  }

  /** Lets this process start no other programs until the end of the test. */
  adopt(t) {
    const before = Object.fromEntries(Object.keys(this.env).map((name) => [name, process.env[name]]));
    Object.assign(process.env, this.env);
    t.after(() => {
      for (const [name, value] of Object.entries(before)) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
    });
  }

  remove() {
    this.#folder.remove();
  }
}
