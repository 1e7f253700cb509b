'use strict';

const { isDeepStrictEqual } = require('node:util');

const { hasControl } = require('../validate/names.js');
const { ConnectError, Connector } = require('./auth/connect.js');
const { Monitor } = require('./monitor.js');
const { LOG_FORMATS } = require('./output/log-format.js');
const { Messages, exposedKey, openFailure, systemWords } = require('./output/messages.js');
const { isErrorTerminal, writeError } = require('./output/standard-error.js');
const { count, place, plain } = require('./output/text.js');
const { Services } = require('./services/index.js');
const { Signals } = require('./signals.js');
const { FAILED } = require('./status.js');

/** Milliseconds that the last JSON lines may take; and after a second signal. */
const OUTPUT_TIMEOUT = 2000;
const FORCED_OUTPUT_TIMEOUT = 500;

/** What asks the user; undefined if there is no way to ask. */
function openAsker() {
  const open = () => require('./auth/terminal.js').Terminal.open();
  const { DISPLAY, SSH_ASKPASS_REQUIRE: required, WAYLAND_DISPLAY } = process.env;
  // Most commands need no program that asks, and start sooner without its module.
  if (!required && !DISPLAY && !WAYLAND_DISPLAY) return open();
  return require('./auth/askpass.js').Askpass.choose(process.env, open);
}

/** Writes lines to the end of a file. @param {string} file */
function appender(file) {
  const fs = require('node:fs');
  let descriptor;
  try {
    descriptor = fs.openSync(file, 'a', 0o600);
  } catch (error) {
    throw Object.assign(new Error(`Couldn't open logfile ${file}: ${systemWords(error)}`), { code: error.code });
  }
  return (text) => fs.writeSync(descriptor, `${text}\n`);
}

/** One run of the command, from its settings to its exit status. */
class Run {
  #settings;
  #messages;
  #terminal;
  #signals;
  #json;
  /** Whether the live view is wanted where standard output is a terminal. */
  #mayShow;
  #view;
  #monitor = new Monitor();
  #services = new Services();
  /** @type {import('./service-manager.js').ServiceManager | undefined} */
  #manager;
  /** Sockets that listen already, by the forwardings of the settings. @type {Map<object, number[]>} */
  #descriptors = new Map();
  /** The connection of -W. @type {import('./stdio.js').StdioRelay | undefined} */
  #relay;
  #tunnel;
  /** Called with the exit status. */
  #finish;
  /** The signal that resets connections. */
  #forcedBy;
  #status = 0;
  /** Called when a forward is open. */
  #opened = () => {};
  /** @type {import('./background.js').Background | undefined} */
  #background;
  /** @type {import('./control/server.js').ControlServer | undefined} */
  #control;
  /** Called when most of the code that a run needs has been compiled. */
  #keepCode;
  /** The status of the program that is run. @type {Promise<number> | undefined} */
  #programStatus;

  /**
   * @param {import('./arguments.js').CommandLine} line
   * @param {import('./settings.js').Settings} settings
   * @param {{ background?: import('./background.js').Background, keepCode?: () => void,
   *   manager?: import('./service-manager.js').ServiceManager }} [around]
   */
  constructor(line, settings, { background, keepCode = () => {}, manager } = {}) {
    this.#keepCode = keepCode;
    this.#manager = manager;
    this.#settings = settings;
    this.#background = background;
    const log = line.logFile === undefined ? undefined : appender(line.logFile);
    const show = (text) => writeError(`${text}\n`);
    this.#messages = new Messages(settings.logLevel, show, log, LOG_FORMATS[line.logFormat]);
    this.#terminal = settings.batch ? undefined : openAsker();
    this.#signals = new Signals(() => this.#restore());
    if (line.json) {
      const { JsonLines } = require('./output/json-lines.js');
      this.#json = new JsonLines((error) => this.#outputBroken(error));
    }
    const isText = !line.json && line.logFormat === 'text';
    this.#mayShow = isText && !line.noView && settings.program === undefined && settings.logLevel !== 'QUIET';
    if (log === undefined && line.logFormat === 'text') this.#messages.givesHints = isErrorTerminal;
    this.#messages.observer = (level, text) => this.#monitor.message(level, text);
  }

  /** @returns {Promise<number>} the exit status */
  async run() {
    const context = { monitor: this.#monitor, messages: this.#messages, tunnel: () => this.#tunnel, json: this.#json };
    const { notifySocket, sockets = [] } = this.#manager ?? {};
    if (sockets.length > 0) {
      const { assignSockets } = require('./inherited-sockets.js');
      this.#descriptors = assignSockets(sockets, this.#settings);
    }
    const systemd = notifySocket === undefined ? {} : { systemd: this.#manager };
    await this.#services.start({ ...systemd, ...this.#settings.services }, context);
    this.#showNotices();
    let server;
    try {
      server = await this.#connect();
    } catch (error) {
      if (!(error instanceof ConnectError)) throw error;
      this.#json?.error(error.cause);
      return FAILED;
    }
    return this.#settings.stdio === undefined ? this.#forward(server) : this.#relayStdio();
  }

  /** Says what of the files is ignored. */
  #showNotices() {
    for (const { text, grave, exposed } of this.#settings.notices) {
      if (exposed !== undefined) {
        this.#messages.error(exposedKey(exposed));
        this.#messages.hint({ step: 'key', error: undefined, file: exposed.file });
      } else if (grave) {
        this.#messages.info(`Warning: ${text}`);
      } else {
        this.#messages.debug(1, text);
      }
    }
  }

  async #connect() {
    const connector = new Connector(this.#settings, this.#terminal, this.#messages);
    let server;
    const connecting = connector.run((tunnel, { host, port, username }) => {
      server = { host, port, username };
      this.#monitor.destination = `${plain(username)}@${plain(place(host, port))}`;
      this.#tunnel = tunnel;
      tunnel.on('banner', (message, language, from) => this.#json?.write('banner', { ...from, message, language }));
      if (this.#settings.stdio === undefined) return;
      const { StdioRelay } = require('./stdio.js');
      this.#relay = new StdioRelay(tunnel, this.#settings.stdio);
    });
    this.#prepare();
    await connecting;
    this.#monitor.follow(this.#tunnel);
    return server;
  }

  /** Loads what is needed next, while the server is waited for. */
  #prepare() {
    if (this.#settings.stdio === undefined) {
      require('./forwardings.js');
      require('./output/event-log.js');
    } else {
      require('./stdio.js').openStreams();
    }
  }

  async #relayStdio() {
    // The connection reports what is lost; there is no other one.
    this.#tunnel.on('error', (error) => this.#messages.debug(1, error.message));
    try {
      await this.#relay.run();
      this.#keepCode();
      return 0;
    } catch (error) {
      const failure = openFailure(error);
      this.#messages.error(failure === undefined ? systemWords(error) : `channel 0: ${failure}`);
      this.#messages.error('stdio forwarding failed');
      this.#messages.hint({ step: 'open', error });
      return FAILED;
    }
  }

  async #forward(server) {
    const tunnel = this.#tunnel;
    const { Forwarding, permitOnly } = require('./forwardings.js');
    const { EventLog } = require('./output/event-log.js');
    const monitor = this.#monitor;
    monitor.forwardings = this.#settings.forwardings.map(
      (value) => new Forwarding(value, this.#descriptors.get(value)),
    );
    const finished = new Promise((resolve) => (this.#finish = resolve));
    const log = new EventLog({ messages: this.#messages, json: this.#json, monitor });
    log.follow(tunnel, server);
    const { permittedTargets } = this.#settings;
    if (permittedTargets !== undefined) this.#opened = permitOnly(tunnel, permittedTargets, this.#messages);
    tunnel.on('error', () => (this.#status = FAILED));
    tunnel.on('forwardError', () => this.#settings.exitOnForwardFailure && this.#fail());
    tunnel.on('close', () => this.#finish(this.#status));
    log.ready();
    this.#signals.handler = (name) => this.#close(name);
    if (!(await this.#openForwardings())) this.#fail();
    else await this.#started();
    const status = await finished;
    this.#view?.stop();
    this.#summarize();
    // The program goes on without its session.
    return this.#programStatus ?? status;
  }

  /** Whether there is anything to wait for. */
  async #openForwardings() {
    let opened = 0;
    for (const forwarding of this.#monitor.forwardings) {
      if (this.#monitor.closing) return true;
      if (await this.#open(forwarding)) {
        opened += 1;
        for (const forward of forwarding.forwards) this.#json?.listening(forward);
      } else if (this.#settings.exitOnForwardFailure) {
        return false;
      }
    }
    this.#messages.debug(1, `${opened} of ${this.#monitor.forwardings.length} forwardings are open.`);
    return opened > 0 || this.#monitor.forwardings.length === 0;
  }

  /** Opens a forwarding. @returns {Promise<boolean>} */
  async #open(forwarding) {
    const isOpen = await forwarding.open(this.#tunnel, this.#settings, this.#messages);
    this.#opened();
    return isOpen;
  }

  /** Everything listens. */
  async #started() {
    const { localCommand } = this.#settings;
    if (localCommand !== undefined) await this.#runLocally(localCommand);
    if (this.#monitor.closing || !(await this.#serveControl())) return;
    this.#background?.ready();
    this.#services.ready();
    if (this.#settings.program === undefined) this.#show();
    else await this.#startProgram();
    this.#keepCode();
  }

  /** Opens what the program needs, and starts it. */
  async #startProgram() {
    const { Child } = require('./child.js');
    const child = new Child(this.#settings.program, this.#messages);
    try {
      const count = await child.prepare(this.#tunnel);
      this.#opened();
      if (count === 0 && this.#monitor.forwardings.length === 0)
        throw new Error('run: there is no URL, no --env and no -L: nothing would lead through the tunnel');
    } catch (error) {
      this.#messages.error(`sshtunnel: ${error.message}`);
      this.#fail();
      return;
    }
    if (this.#monitor.closing) {
      // A signal has come before it.
      this.#status = FAILED;
      return;
    }
    const pass = (name) => {
      this.#signals.handler = pass;
      child.signal(name);
    };
    this.#signals.handler = pass;
    this.#programStatus = child.run();
    this.#programStatus.then(
      () => this.#close('the end of the command'),
      () => this.#fail(),
    );
  }

  /** Runs the LocalCommand in the user's shell, and waits for its end. */
  #runLocally(command) {
    const { spawn } = require('node:child_process');
    const shell = process.env.SHELL || '/bin/sh';
    this.#messages.debug(3, `Executing ${command}`);
    return new Promise((resolve) => {
      const child = spawn(shell, ['-c', command], { stdio: 'inherit' });
      child.once('error', (error) => {
        this.#messages.error(`Couldn't execute ${shell}: ${systemWords(error)}`);
        resolve();
      });
      // As with ssh, its status does not matter.
      child.once('close', resolve);
    });
  }

  /** Listens on the control socket, if there is to be one. @returns {Promise<boolean>} false: the command ends */
  async #serveControl() {
    const { controlPath, isMaster } = this.#settings;
    if (!isMaster || controlPath === undefined) return true;
    if (process.platform === 'win32') {
      this.#messages.error('ControlMaster: there are no control sockets on Windows');
      return true;
    }
    const { ControlServer, InUse } = require('./control/server.js');
    this.#control = new ControlServer({
      // As the signal does: once lets connections finish, twice resets them.
      exit: () => ({ after: () => process.kill(process.pid, 'SIGTERM') }),
      stop: () => {
        this.#control.close();
        return {};
      },
      forward: async ({ kind, spec }) => ({ reply: await this.#addForwarding(readForwarding(kind, spec)) }),
      cancel: async ({ kind, spec }) => ({ reply: await this.#cancelForwarding(readForwarding(kind, spec)) }),
    });
    try {
      await this.#control.listen(controlPath);
    } catch (error) {
      if (error instanceof InUse) {
        this.#messages.error(`ControlSocket ${controlPath} already exists, disabling multiplexing`);
        return true;
      }
      this.#messages.error(`unix_listener: cannot bind to path ${controlPath}: ${systemWords(error)}`);
      this.#fail();
      return false;
    }
    return true;
  }

  /** -O forward. */
  async #addForwarding(value) {
    const { Forwarding } = require('./forwardings.js');
    if (this.#findForwarding(value) !== undefined) return {};
    const forwarding = new Forwarding(value);
    this.#monitor.forwardings.push(forwarding);
    if (this.#monitor.closing || !(await this.#open(forwarding))) {
      this.#monitor.forwardings.splice(this.#monitor.forwardings.indexOf(forwarding), 1);
      throw new Error('Port forwarding failed');
    }
    for (const forward of forwarding.forwards) this.#json?.listening(forward);
    const [{ localPort, remotePort }] = forwarding.forwards;
    return value.listen.port === 0 ? { port: localPort ?? remotePort } : {};
  }

  /** -O cancel. */
  async #cancelForwarding(value) {
    const forwarding = this.#findForwarding(value);
    if (forwarding === undefined) throw new Error('port not found');
    this.#monitor.forwardings.splice(this.#monitor.forwardings.indexOf(forwarding), 1);
    await forwarding.close();
    return {};
  }

  #findForwarding({ kind, listen, connect }) {
    return this.#monitor.forwardings.find(
      (it) => it.kind === kind && isDeepStrictEqual([it.listen, it.connect], [listen, connect]),
    );
  }

  #show() {
    if (!this.#mayShow) return;
    const { View, canShow } = require('./view/view.js');
    if (!canShow()) return;
    this.#view = new View(this.#monitor);
    this.#view.start();
    this.#messages.show = (text) => this.#view.print(text);
    if (this.#terminal !== undefined) this.#terminal.screen = this.#view;
  }

  /** What has become of the connections, for people who have watched them. */
  #summarize() {
    const { summary } = require('./output/summary.js');
    const text = summary(this.#monitor.totals, this.#monitor.upTime());
    if (this.#view === undefined) this.#messages.verbose(text);
    else this.#messages.info(text);
  }

  #fail() {
    this.#status = FAILED;
    this.#tunnel.shutdown(() => {});
  }

  /** The first signal: stops listening, and lets connections finish. */
  #close(name) {
    this.#monitor.closing = true;
    this.#services.closing();
    this.#signals.handler = (next) => this.#force(next);
    this.#json?.write('closing', { signal: name });
    this.#messages.verbose(`Closing, after ${name}.`);
    const { closeTimeout } = this.#settings;
    if (closeTimeout === null) this.#tunnel.shutdown(() => {});
    else this.#tunnel.close({ timeout: closeTimeout }, () => {});
    if (isErrorTerminal()) this.#showWaiting();
  }

  /** The second signal: resets connections, reports them, and ends the process by the signal. A third one ends it at once. */
  #force(name) {
    this.#forcedBy = name;
    this.#json?.write('closing', { signal: name, force: true });
    this.#messages.verbose(`Resetting open connections, after ${name}.`);
    this.#tunnel.shutdown({ force: true }, () => {});
  }

  async #showWaiting() {
    const { length } = await this.#tunnel.promises.connections();
    if (length === 0) return;
    const them = length === 1 ? 'it' : 'them';
    this.#messages.info(`Waiting for ${count(length, 'connection')} to finish: once more resets ${them}.`);
  }

  /** The reader of the JSON lines has gone: closes, as after a signal. */
  #outputBroken(error) {
    this.#messages.error(`standard output: ${systemWords(error)}`);
    if (this.#finish !== undefined && !this.#monitor.closing) this.#close('EPIPE');
  }

  #restore() {
    this.#services.stop();
    this.#control?.close();
    this.#terminal?.restore();
    this.#view?.stop();
  }

  /** Ends the process when the JSON lines are written, or their reader has gone. */
  async end(status) {
    this.#restore();
    await this.#json?.end(this.#forcedBy === undefined ? OUTPUT_TIMEOUT : FORCED_OUTPUT_TIMEOUT);
    if (this.#forcedBy !== undefined) this.#signals.endBy(this.#forcedBy);
    // Standard input may still be open.
    process.exit(status);
  }
}

/** Reads a forwarding that came by the control socket. */
function readForwarding(kind, spec) {
  const { parseForwarding } = require('../ssh-config/forwardings.js');
  const isKnown = ['local', 'dynamic', 'remote'].includes(kind) && typeof spec === 'string' && !hasControl(spec);
  const value = isKnown ? parseForwarding(spec, kind, { anyPort: true }) : undefined;
  if (value === undefined) throw new Error('not a forwarding');
  return value;
}

module.exports = { Run };
