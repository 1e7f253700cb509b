// A registry of packages for the package managers of a test: what is published to it, and for all other names a redirection
// to the registry that npm uses.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { json } from 'node:stream/consumers';

import { ROOT } from './process.mjs';

/** The token of a user who may publish. */
export const TOKEN = 'npm_rehearsal';

/** What npm's registry says to a version that it has. */
const AGAIN = 'You cannot publish over the previously published versions';

/** Names that only this registry has. */
const OWN = /^\/(sshtunnel-native(?:-[\w-]+)?)(?:\/-\/(.+))?$/;

/** The registry that npm uses here. */
export function upstream() {
  const { stdout } = spawnSync('npm', ['config', 'get', 'registry'], {
    cwd: ROOT,
    encoding: 'utf8',
    shell: process.platform === 'win32',
  });
  return stdout.trim().replace(/\/$/, '');
}

const digest = (bytes) => `sha512-${createHash('sha512').update(bytes).digest('base64')}`;

export class Registry {
  #server;
  #upstream = upstream();
  #documents = new Map();
  #files = new Map();
  /** The names of what was published, in that order. */
  published = [];
  /** Names whose next publication fails. */
  failing = new Set();

  static async start() {
    const registry = new Registry();
    registry.#server = http.createServer((request, response) => registry.#answer(request, response));
    registry.#server.listen(0, '127.0.0.1');
    await once(registry.#server, 'listening');
    return registry;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}/`;
  }

  close() {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  /** Publishes a package as a file that `npm pack` has made. */
  add(manifest, file, tag = 'latest') {
    const { name, version } = manifest;
    const filename = `${name}-${version}.tgz`;
    const document = this.#documents.get(name) ?? { name, 'dist-tags': {}, versions: {}, time: {} };
    this.#documents.set(name, document);
    document['dist-tags'][tag] = version;
    document.time[version] = '2020-01-01T00:00:00.000Z'; // old enough for managers that wait some days
    document.versions[version] = {
      ...manifest,
      dist: {
        ...manifest.dist,
        tarball: `${this.url}${name}/-/${filename}`,
        integrity: digest(file),
        shasum: createHash('sha1').update(file).digest('hex'),
      },
    };
    this.#files.set(filename, file);
    this.published.push(name);
  }

  /** The published manifest of a package, or undefined. */
  manifest(name, version) {
    return this.#documents.get(name)?.versions[version];
  }

  /** The versions of a package by their tags. */
  tags(name) {
    return this.#documents.get(name)?.['dist-tags'];
  }

  async #answer(request, response) {
    const { pathname } = new URL(request.url, this.url);
    const [isOwn, name, filename] = OWN.exec(decodeURIComponent(pathname)) ?? [];
    if (!isOwn) return response.writeHead(302, { location: `${this.#upstream}${request.url}` }).end();
    if (request.method === 'PUT') return this.#publish(request, response);
    const found = filename === undefined ? this.#documents.get(name) : this.#files.get(filename);
    if (found === undefined) return reply(response, 404, { error: 'not found' });
    if (filename === undefined) return reply(response, 200, found);
    response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(found);
  }

  async #publish(request, response) {
    if (request.headers.authorization !== `Bearer ${TOKEN}`) return reply(response, 401, { error: 'no token' });
    const document = await json(request);
    const [manifest] = Object.values(document.versions);
    if (this.manifest(manifest.name, manifest.version) !== undefined)
      return reply(response, 403, { error: `${AGAIN}: ${manifest.version}.` });
    if (this.failing.delete(manifest.name)) return reply(response, 400, { error: 'not now' });
    const [attachment] = Object.values(document._attachments);
    const [tag] = Object.keys(document['dist-tags']);
    this.add(manifest, Buffer.from(attachment.data, 'base64'), tag);
    reply(response, 201, { ok: true });
  }
}

function reply(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
