// Asks the user whether to trust a server that is not known, as a desktop program does in a dialog:
//   node examples/unknown-host.mjs bastion.example 22
// The answer 'yes' adds its key to ~/.ssh/known_hosts.

import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { createInterface } from 'node:readline/promises';
import { fileURLToPath } from 'node:url';
import { SSHTunnel } from 'sshtunnel-native/promises';

/**
 * Connects a tunnel, and asks about a host key that is not known: the server's, and those of jump hosts.
 * @param {import('sshtunnel-native/promises').SSHTunnel} tunnel
 * @param {(hostKey: import('sshtunnel-native').RefusedHostKey) => Promise<boolean>} ask shows a dialog. In Electron:
 *   async ({ name, type, fingerprint }) => {
 *     const message = `The host ${name} is not known. Its ${type} key has the fingerprint ${fingerprint}.`;
 *     const { response } = await dialog.showMessageBox(window, { message, buttons: ['Cancel', 'Trust'], cancelId: 0 });
 *     return response === 1;
 *   }
 */
export async function connectAsking(tunnel, ask) {
  for (;;) {
    try {
      return await tunnel.connect();
    } catch (error) {
      // A changed or revoked key is no question: somebody may be posing as the server.
      if (error.hostKey?.reason !== 'unknown' || !(await ask(error.hostKey))) throw error;
      await tunnel.trustHost(error.hostKey);
    }
  }
}

/** A dialog at the terminal. */
async function askAtTerminal({ name, type, fingerprint }) {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const question = `The host ${name} is not known. Its ${type} key has the fingerprint ${fingerprint}.\nTrust it (yes/no)? `;
  try {
    return (await terminal.question(question)) === 'yes';
  } finally {
    terminal.close();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [host, port] = process.argv.slice(2);
  const privateKey = readFileSync(`${homedir()}/.ssh/id_ed25519`);
  const tunnel = new SSHTunnel({ host, port: Number(port), privateKey });
  try {
    await connectAsking(tunnel, askAtTerminal);
    console.log('connected');
    await tunnel.close();
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
