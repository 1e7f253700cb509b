// The web page of the command, as a program sees it: its requests, and its stream of states.

import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';

/** The address and the token of a URL that the command has printed. */
export function partsOf(url) {
  const { origin, hostname, port, hash } = new URL(url);
  const token = new URLSearchParams(hash.slice(1)).get('token');
  return { origin, hostname, port: Number(port), token, authorization: `Bearer ${token}` };
}

/**
 * Makes a request, with these headers and no others.
 * @param {string} url that the command has printed
 * @param {{ path?: string, method?: string, headers?: object, body?: string }} [options]
 */
export async function ask(url, { path = '/', method = 'GET', headers = {}, body } = {}) {
  const { hostname, port } = partsOf(url);
  const request = http.request({ host: hostname, port, path, method, headers, agent: false });
  request.end(body);
  const [response] = await once(request, 'response');
  let text = '';
  for await (const part of response.setEncoding('utf8')) text += part;
  return { status: response.statusCode, headers: response.headers, text };
}

/** Asks to close or to reset a connection. */
export function act(url, connectionId, action, { headers = {}, body = '{}' } = {}) {
  const { authorization } = partsOf(url);
  const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
  const all = { authorization, 'content-type': 'application/json', ...length, ...headers };
  return ask(url, { path: `/connections/${connectionId}/${action}`, method: 'POST', headers: all, body });
}

/** Sends bytes, and gives all that the server answers until it ends the connection. */
export async function raw(url, bytes) {
  const { hostname, port } = partsOf(url);
  const socket = net.connect({ host: hostname, port });
  socket.on('error', () => {});
  let text = '';
  socket.setEncoding('utf8').on('data', (part) => (text += part));
  socket.write(bytes);
  await new Promise((resolve) => socket.once('close', resolve));
  return text;
}

/** The stream of states. */
export class States {
  /** All states so far. */
  all = [];
  isEnded = false;
  #response;

  /** @param t ends the stream with the test */
  static async open(t, url) {
    const { hostname, port, authorization } = partsOf(url);
    const request = http.get({ host: hostname, port, path: '/events', headers: { authorization }, agent: false });
    const [response] = await once(request, 'response');
    t.after(() => response.destroy());
    return new States(response);
  }

  constructor(response) {
    this.status = response.statusCode;
    this.headers = response.headers;
    this.#response = response;
    // It is reset where the test ends before the command.
    response.on('error', () => {});
    let rest = '';
    response.setEncoding('utf8').on('data', (text) => {
      const events = (rest + text).split('\n\n');
      rest = events.pop();
      for (const event of events) {
        const [, name, data] = /^event: (.*)\ndata: (.*)$/.exec(event);
        if (name === 'end') this.isEnded = true;
        else this.all.push(JSON.parse(data).state);
      }
    });
    this.closed = new Promise((resolve) => response.on('close', resolve));
  }

  /** The first state that fits, of the ones that were sent and of later ones. */
  async find(fits) {
    for (let at = 0; ; at++) {
      while (at >= this.all.length) {
        if (this.#response.closed) throw new Error(`no such state:\n${JSON.stringify(this.all.at(-1), null, 2)}`);
        await Promise.race([once(this.#response, 'data'), this.closed]);
      }
      if (fits(this.all[at])) return this.all[at];
    }
  }

  close() {
    this.#response.destroy();
  }
}
