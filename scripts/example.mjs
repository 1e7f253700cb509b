// An example with everything that it needs, on this machine: an SSH server, what is behind it, and
// after some seconds a session that is lost:
//   node scripts/example.mjs postgres
//   node scripts/example.mjs redis
//   node scripts/example.mjs api

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

import { ensureSshd } from '../__test__/helpers/ensure-sshd.mjs';
import { Api, Postgres, Redis, ensureServices } from '../__test__/helpers/services.mjs';
import { ROOT, setup } from './setup.mjs';

const SECONDS = 4; // before the session is lost, and after that

const SERVICES = {
  postgres: { start: () => Postgres.start(), environment: (postgres) => postgres.environment },
  redis: { start: () => Redis.start(), environment: ({ password }) => ({ REDIS_PASSWORD: password }) },
  api: { start: () => Api.start(), environment: () => ({}) },
};

const [name] = process.argv.slice(2);
if (!Object.hasOwn(SERVICES, name ?? '')) {
  console.error(`Which one? ${Object.keys(SERVICES).join(', ')}`);
  process.exit(1);
}
setup();
if (!ensureSshd() || !ensureServices()) process.exit(1);
const { Sshd } = await import('../__test__/helpers/sshd.mjs');
const { makeHome } = await import('../__test__/helpers/home.mjs');

const server = await Sshd.start();
const service = await SERVICES[name].start();
const home = makeHome([server]);
const places = ['127.0.0.1', server.port, '127.0.0.1', service.port].map(String);
console.log(`node examples/${name}.mjs ${places.join(' ')}`);
const example = spawn(process.execPath, [join(ROOT, 'examples', `${name}.mjs`), ...places], {
  cwd: ROOT,
  env: { ...process.env, HOME: home.path, ...SERVICES[name].environment(service) },
  stdio: 'inherit',
});
const ended = once(example, 'exit');
await setTimeout(SECONDS * 1000);
console.log('--- the SSH session is killed');
server.killSessions();
await setTimeout(SECONDS * 1000);
example.kill('SIGINT');
const [code] = await ended;
home.remove();
await Promise.all([server.stop(), service.stop()]);
process.exitCode = code ?? 1;
