// A forward by a certificate that expires: a new one is issued for each authentication.
//   node examples/certificates.mjs bastion.example 22 db.internal 5432 ./issue --role deploy
// The command prints a certificate for the public key whose path is its last argument. It may ask an authority
// such as Vault or step-ca, or run 'ssh-keygen -s'. Ctrl-C ends the program.

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { promisify } from 'node:util';
import { SSHTunnel } from 'sshtunnel-native/promises';

const [host, port, forwardHost, forwardPort, command, ...args] = process.argv.slice(2);
const key = `${homedir()}/.ssh/id_ed25519`;
const run = promisify(execFile);

/** Issues a certificate. The signal ends the command when nobody waits for it any more. */
async function certificate({ attempt, signal }) {
  const { stdout } = await run(command, [...args, `${key}.pub`], { signal });
  console.log(`certificate ${attempt} issued`);
  return stdout;
}

const tunnel = new SSHTunnel({
  host,
  port: Number(port),
  privateKey: readFileSync(key),
  certificate,
  forwardHost,
  forwardPort: Number(forwardPort),
  keepaliveInterval: 10_000, // notices a server that disappears silently
  reconnect: { initialDelay: 200 }, // an authority that is out of reach is asked again
});
tunnel.on('ready', () => console.log('connected'));
tunnel.on('reconnecting', ({ error, delay }) => {
  const [cause] = error.cause?.message.split('\n') ?? [];
  console.log(`${error.message}${cause ? `: ${cause}` : ''}; again in ${delay} ms`);
});
tunnel.on('error', (error) => console.error(error.message)); // the server has refused the certificate
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => tunnel.close({ timeout: 5000 }));

await tunnel.startListening();
console.log(`127.0.0.1:${tunnel.localPort} -> ${forwardHost}:${forwardPort}`);
