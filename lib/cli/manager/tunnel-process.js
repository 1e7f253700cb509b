'use strict';

// The process of a tunnel, as the supervisor sees it: what it says, how it is asked, and why it ended.

const { spawn } = require('node:child_process');
const fs = require('node:fs');

const { SUPERVISED } = require('../arguments.js');
const { linesOf, objectOf } = require('../control/lines.js');
const { message } = require('./log.js');

/** Arguments before those of the user: it cannot ask anybody, and it is in the background already. */
const ARGUMENTS = [SUPERVISED, '--json', '-o', 'BatchMode=yes', '-o', 'ForkAfterAuthentication=no'];

/** Bytes of a line of its output. */
const MAX_LINE = 1024 * 1024;
/** Milliseconds for a reply. */
const REPLY_TIMEOUT = 2000;
/** Milliseconds that a reset may take: the command itself takes two seconds at most. */
const RESET_TIMEOUT = 5000;
/** Milliseconds for the output after the end: what the command has started may keep it open. */
const OUTPUT_TIMEOUT = 1000;
/** Milliseconds: a tunnel that was up for so long has not failed at once. */
const USEFUL = 10_000;
/** Characters of a reason. */
const MAX_REASON = 500;

/** Codes of errors that stay until somebody changes something. The library does not reconnect after them either. */
const FINAL = ['ERR_SSH_ALGORITHM', 'ERR_SSH_AUTH', 'ERR_SSH_CONFIG', 'ERR_SSH_HOST_KEY', 'ERR_SSH_PRIVATE_KEY'];

/** The beginning of messages of the command itself. */
const PREFIX = 'sshtunnel: ';

/** The event with the URL of the web page, whose token is for the user alone. */
const SECRET = 'web';

/** Levels of messages that say why a tunnel ends. */
const GRAVE = ['ERROR', 'FATAL'];

const after = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds).unref());

/** A line of output: its text, and the event that it is. @typedef {{ text: string, event: any }} OutputLine */

/** A line of standard output. @returns {OutputLine} */
function eventLine(text) {
  const event = objectOf(text);
  // What the command has started may print, too.
  return event === undefined ? plainLine('INFO', text) : { text, event };
}

/** A line that is no event. @returns {OutputLine} */
function plainLine(level, text) {
  const event = message(level, text);
  return { text: JSON.stringify(event), event };
}

/**
 * How a process ended: with a status or by a signal, or why there was none.
 * @typedef {{ status?: number, signal?: string, error?: NodeJS.ErrnoException }} End
 */

/**
 * Why a tunnel is not up any more.
 * @typedef {object} Failure
 * @property {string} reason
 * @property {boolean} isFinal whether another attempt would fail, too
 * @property {boolean} wasUseful whether it had been up for a while
 */

class TunnelProcess {
  #child;
  #cwd;
  #log;
  #observe;
  /** Called with the reply that is waited for. */
  #reply;
  /** @type {Promise<any> | undefined} */
  #asking;
  #killer;
  /** What it connects to, as `user@host:port`. @type {string | undefined} */
  destination;
  /** @type {{ kind: string, name: string, from: string, to: string, failed: boolean }[]} */
  forwards = [];
  /** Counts of connections that ended since it was closed. @type {{ ended: number, cut: number, lost: number } | undefined} */
  summary;
  /** Whether there was a session. */
  #wasReady = false;
  /** When everything listened, in milliseconds since 1970. @type {number | undefined} */
  #upSince;
  /** The first grave message since there was a session, and the code of the error that ended it. */
  #complaint;
  #code;
  /** What it has printed on standard error; the line with its name, if there is one. @type {string | undefined} */
  #printed;
  /** @type {Promise<End>} */
  #end;
  /** Its end, and that of its output. @type {Promise<Failure>} */
  ended;

  /**
   * @param {{ args: string[], cwd: string, env: Record<string, string> }} command
   * @param {import('./log.js').LogWriter} log gets what it prints
   * @param {(event: any) => void} observe called with its events
   */
  constructor({ args, cwd, env }, log, observe) {
    this.#cwd = cwd;
    this.#log = log;
    this.#observe = observe;
    const child = spawn(process.execPath, [...process.execArgv, process.argv[1], ...ARGUMENTS, ...args], {
      cwd,
      env,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      windowsHide: true,
    });
    this.#child = child;
    child.on('message', (/** @type {any} */ { snapshot }) => this.#reply?.(snapshot));
    this.#end = new Promise((resolve) => {
      child.once('exit', (status, signal) => resolve(signal === null ? { status } : { signal }));
      // Without a process there is no exit. Later errors are those of signals and messages to it.
      child.on('error', (error) => child.pid === undefined && resolve({ error }));
    });
    this.ended = this.#follow();
  }

  get pid() {
    return this.#child.pid;
  }

  /** Whether everything has listened. */
  get wasUp() {
    return this.#upSince !== undefined;
  }

  async #follow() {
    const { stdout, stderr } = this.#child;
    const reading = Promise.all([
      this.#read(stdout, eventLine, ({ event }) => this.#learn(event)),
      this.#read(
        stderr,
        (text) => plainLine('ERROR', text),
        ({ event }) => this.#print(event.text),
      ),
    ]);
    const end = await this.#end;
    clearTimeout(this.#killer);
    this.#reply?.();
    await Promise.race([reading, after(OUTPUT_TIMEOUT)]);
    // Without descriptors for them there are no streams.
    stdout?.destroy();
    stderr?.destroy();
    const failure = this.#failure(end);
    await this.#log.write({ time: new Date().toISOString(), event: 'ended', ...end, error: end.error?.message });
    return failure;
  }

  /** @param {(text: string) => OutputLine} toLine @param {(line: OutputLine) => void} take */
  async #read(stream, toLine, take) {
    try {
      for await (const texts of linesOf(stream, MAX_LINE)) {
        const lines = texts.map(toLine);
        for (const line of lines) take(line);
        // The next ones are read when these are written: a fast tunnel does not fill the memory.
        await this.#log.append(lines.filter(({ event }) => event.event !== SECRET).map(({ text }) => text));
      }
    } catch {
      // It was destroyed, or there is none.
    }
  }

  #learn(event) {
    switch (event.event) {
      case 'ready':
        this.#wasReady = true;
        this.#complaint = undefined;
        break;
      case 'started':
        this.#upSince = Date.now();
        this.#complaint = undefined;
        this.destination = event.destination;
        this.forwards = Array.isArray(event.forwardings) ? event.forwardings : [];
        break;
      case 'message':
        if (GRAVE.includes(event.level)) this.#complaint ??= String(event.text);
        break;
      case 'error':
        this.#code = event.code;
        break;
      case 'summary':
        this.summary = event.closing;
        break;
    }
    this.#observe(event);
  }

  #print(text) {
    if (!this.#printed?.startsWith(PREFIX)) this.#printed = text;
  }

  /** @param {End} end @returns {Failure} */
  #failure({ status, signal, error }) {
    const wasUseful = this.#upSince !== undefined && Date.now() - this.#upSince >= USEFUL;
    const words = this.#complaint ?? this.#printed;
    const reason = (words?.startsWith(PREFIX) ? words.slice(PREFIX.length) : words)?.slice(0, MAX_REASON);
    if (error !== undefined) {
      const isMissing = error.code === 'ENOENT' && !fs.existsSync(this.#cwd);
      const text = isMissing ? `there is no folder ${this.#cwd}` : `no process could be started: ${error.message}`;
      return { reason: text, isFinal: isMissing, wasUseful };
    }
    if (signal !== undefined) return { reason: `its process was ended by ${signal}`, isFinal: false, wasUseful };
    // Every error of a connection is an event. Without one, the settings are wrong.
    const isFinal = FINAL.includes(this.#code) || (status !== 0 && !this.#wasReady && this.#code === undefined);
    return { reason: reason ?? `its process ended with status ${status}`, isFinal, wasUseful };
  }

  /** What the process knows of itself; undefined if it does not answer in time. */
  snapshot() {
    if (this.#asking === undefined) {
      this.#asking = new Promise((resolve) => (this.#reply = resolve)).finally(() => {
        this.#asking = undefined;
        this.#reply = undefined;
      });
      this.#send('snapshot');
    }
    return Promise.race([this.#asking, after(REPLY_TIMEOUT)]);
  }

  /** Lets its connections finish, and ends it. */
  close() {
    this.#send('close');
  }

  /** Resets its connections, and ends it. */
  reset() {
    this.#send('reset');
    this.#killer ??= setTimeout(() => this.#child.kill('SIGKILL'), RESET_TIMEOUT);
  }

  #send(command) {
    if (this.#child.connected) this.#child.send({ command });
    else if (command === 'snapshot') this.#reply?.();
  }
}

module.exports = { ARGUMENTS, TunnelProcess };
