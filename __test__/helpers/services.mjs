// Services behind an SSH server, on free local ports: databases, each with a password and a folder, and an HTTP API.

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chownSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';

import { launch, onFreePort, stopper } from './daemon.mjs';
import { ensurePackages, findProgram } from './ensure-sshd.mjs';
import { temporaryFolder } from './keys.mjs';
import { run } from './process.mjs';

const ensurePostgres = () => ensurePackages(['initdb', 'postgres', 'pgbench'], ['postgresql']);
const ensureRedis = () => ensurePackages(['redis-server'], ['redis-server']);

const ensureMariaDb = () => ensurePackages(['mariadbd', 'mariadb-install-db'], ['mariadb-server']);

/** Whether all services are there, now or after installing them. */
export const ensureServices = () => [ensurePostgres(), ensureRedis(), ensureMariaDb()].every(Boolean);

/** Starts the program in its folder; gives its port and what ends it. */
async function serve(name, folder, { program, args, how, ...options }) {
  const logFile = join(folder.path, 'log');
  let service;
  try {
    await onFreePort(name, logFile, (port) => {
      const { child, listening } = launch(program, args(port), { cwd: folder.path, ...options, logFile });
      service = { port, stop: stopper(child, folder, how) };
      return listening;
    });
  } catch (error) {
    folder.remove();
    throw error;
  }
  return service;
}

export class Postgres {
  #service;
  #password = randomBytes(12).toString('hex');

  static async start() {
    if (!ensurePostgres()) throw new Error('there is no PostgreSQL: install postgresql');
    const postgres = new Postgres();
    const folder = temporaryFolder('postgres');
    const at = (name) => join(folder.path, name);
    const owner = unprivileged();
    writeFileSync(at('password'), postgres.#password, { mode: 0o600 });
    if (owner.uid !== undefined)
      for (const path of [folder.path, at('password')]) chownSync(path, owner.uid, owner.gid);
    const settings = { cwd: folder.path, env: { ...process.env, LC_ALL: 'C' }, ...owner };
    const { code, stderr } = await run(
      findProgram('initdb'),
      [
        '-D',
        at('data'),
        '-U',
        postgres.login.user,
        '-A',
        'scram-sha-256',
        '--pwfile',
        at('password'),
        '--no-locale',
        '-E',
        'UTF8',
        '--no-sync',
      ],
      { ...settings, timeout: 120_000 },
    );
    if (code !== 0) {
      folder.remove();
      throw new Error(`initdb failed:\n${stderr}`);
    }
    // Its data may be lost, so it does not wait for the disk.
    const options = ['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'fsync=off', 'full_page_writes=off'];
    postgres.#service = await serve('PostgreSQL', folder, {
      ...settings,
      program: findProgram('postgres'),
      args: (port) => ['-D', at('data'), '-p', String(port), ...options.flatMap((option) => ['-c', option])],
      ready: /database system is ready to accept connections/,
      how: 'SIGQUIT', // at once, but it releases its shared memory
    });
    return postgres;
  }

  get port() {
    return this.#service.port;
  }

  /** Connection options of the package pg. */
  get login() {
    return {
      host: '127.0.0.1',
      port: this.#service?.port,
      user: 'tester',
      password: this.#password,
      database: 'postgres',
    };
  }

  /** The same as environment variables. */
  get environment() {
    const { user, password, database } = this.login;
    return { PGUSER: user, PGPASSWORD: password, PGDATABASE: database };
  }

  /** Runs pgbench on a port that leads here: its exit code and what it printed. */
  pgbench(port, args, timeout = 60_000) {
    const env = { ...process.env, ...this.environment };
    return run(findProgram('pgbench'), ['-h', '127.0.0.1', '-p', String(port), ...args], { env, timeout });
  }

  stop() {
    return this.#service.stop();
  }
}

/** The user that PostgreSQL runs as: it refuses to run as root. */
function unprivileged() {
  if (process.getuid() !== 0) return {};
  const [uid, gid] = ['-u', '-g'].map((option) => Number(execFileSync('id', [option, 'postgres'])));
  return { uid, gid };
}

export class MariaDb {
  #service;
  password = randomBytes(12).toString('hex');

  static async start() {
    if (!ensureMariaDb()) throw new Error('there is no MariaDB: install mariadb-server');
    const mariadb = new MariaDb();
    const folder = temporaryFolder('mariadb');
    const data = folder.at('data');
    const user = process.getuid() === 0 ? ['--user=root'] : [];
    const install = [
      '--no-defaults',
      `--datadir=${data}`,
      '--auth-root-authentication-method=normal',
      '--skip-test-db',
    ];
    const { code, stderr } = await run(findProgram('mariadb-install-db'), [...install, ...user], { timeout: 120_000 });
    if (code !== 0) {
      folder.remove();
      throw new Error(`mariadb-install-db failed:\n${stderr}`);
    }
    const statements = [
      'create database app',
      `create user app@'%' identified by '${mariadb.password}'`,
      "grant all on app.* to app@'%'",
    ];
    const file = folder.write(statements.map((statement) => `${statement};\n`).join(''), 'init.sql');
    const options = ['--bind-address=127.0.0.1', `--socket=${folder.at('socket')}`, `--init-file=${file}`];
    mariadb.#service = await serve('MariaDB', folder, {
      program: findProgram('mariadbd'),
      args: (port) => ['--no-defaults', `--datadir=${data}`, `--port=${port}`, ...options, ...user],
      ready: /ready for connections/,
    });
    return mariadb;
  }

  get port() {
    return this.#service.port;
  }

  stop() {
    return this.#service.stop();
  }
}

export class Redis {
  #service;
  password = randomBytes(12).toString('hex');

  /** @param {string[]} settings further lines of its configuration */
  static async start(settings = []) {
    if (!ensureRedis()) throw new Error('there is no Redis: install redis-server');
    const redis = new Redis();
    const folder = temporaryFolder('redis');
    const file = join(folder.path, 'redis.conf');
    const own = ['bind 127.0.0.1', 'save ""', 'appendonly no', `requirepass ${redis.password}`];
    writeFileSync(file, `${[...own, ...settings].join('\n')}\n`, { mode: 0o600 });
    redis.#service = await serve('Redis', folder, {
      program: findProgram('redis-server'),
      args: (port) => [file, '--port', String(port)],
      ready: /Ready to accept connections/,
    });
    return redis;
  }

  get port() {
    return this.#service.port;
  }

  stop() {
    return this.#service.stop();
  }
}

/** Answers every request with its number, as JSON, in two pieces and not at once. */
export class Api {
  #server;
  answers = 0;

  static async start() {
    const api = new Api();
    api.#server = http.createServer((request, response) => {
      response.setHeader('Content-Type', 'application/json');
      response.write(`{ "path": ${JSON.stringify(request.url)}, `);
      setTimeout(() => response.end(`"answer": ${++api.answers} }`), 10);
    });
    api.#server.keepAliveTimeout = 0; // clients close their connections
    api.#server.listen(0, '127.0.0.1');
    await once(api.#server, 'listening');
    return api;
  }

  get port() {
    return this.#server.address().port;
  }

  async stop() {
    const closed = once(this.#server, 'close');
    this.#server.close().closeAllConnections();
    await closed;
  }
}
