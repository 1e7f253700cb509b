'use strict';

// The command `sshtunnel`, from its arguments to its exit status.

const { version } = require('../../package.json');
const { UsageError, parseArguments } = require('./arguments.js');
const { Forwarding } = require('./forwardings.js');
const { HELP, USAGE } = require('./help.js');
const { Logon, LogonError } = require('./auth/connect.js');
const { Messages, configPlace, openRefusal, systemWords } = require('./output/messages.js');
const { Reports, forwardMembers } = require('./output/json-lines.js');
const { Settings, missingIdentities } = require('./settings.js');
const { Signals } = require('./signals.js');
const { carry } = require('./stdio.js');
const { Tally } = require('./output/traffic.js');
const { Terminal } = require('./auth/terminal.js');
const { place, plain } = require('./output/text.js');
const { View, canShow } = require('./output/view.js');
const { Witness } = require('./output/event-log.js');

/** As ssh, whatever went wrong. */
const FAILED = 255;

/** Milliseconds that the last reports may take; and after a second signal. */
const FAREWELL = 2000;
const LAST_MOMENT = 500;

class Run {
  #settings;
  #messages;
  #terminal;
  #signals;
  #reports;
  #view;
  #tally;
  #forwardings;
  /** What the view shows of the run. */
  #picture;
  #tunnel;
  /** Called with the exit status. */
  #finish;
  /** The signal that did not let connections finish. */
  #forcedBy;
  #status = 0;

  /** @param {import('./arguments.js').CommandLine} line */
  constructor(line, settings) {
    this.#settings = settings;
    this.#messages = new Messages(settings.logLevel, (text) => process.stderr.write(`${text}\n`));
    this.#terminal = settings.batch ? undefined : Terminal.open();
    this.#signals = new Signals(() => this.#restore());
    this.#forwardings = settings.forwardings.map((value) => new Forwarding(value));
    if (line.json) this.#reports = new Reports((error) => this.#unread(error));
    const shows = canShow() && !line.json && !line.noView && !settings.stdio && settings.logLevel !== 'QUIET';
    if (shows) this.#tally = new Tally();
  }

  /** @returns {Promise<number>} the exit status */
  async run() {
    for (const { text, grave } of this.#settings.notices) {
      if (grave) this.#messages.info(`Warning: ${text}`);
      else this.#messages.debug(1, text);
    }
    let server;
    try {
      server = await this.#logOn();
    } catch (error) {
      if (!(error instanceof LogonError)) throw error;
      const { code, message } = error.cause;
      this.#reports?.write('error', { code, message });
      return FAILED;
    }
    if (this.#settings.stdio !== undefined) return this.#carry();
    return this.#forward(server);
  }

  async #logOn() {
    const logon = new Logon(this.#settings, this.#terminal, this.#messages);
    let server;
    this.#tunnel = await logon.run((tunnel, { host, port, username }) => {
      server = { host, port, username };
      tunnel.on('banner', (message, language, from) => this.#reports?.write('banner', { ...from, message, language }));
    });
    return server;
  }

  async #carry() {
    // What is lost is told by the connection; nobody else has one.
    this.#tunnel.on('error', (error) => this.#messages.debug(1, error.message));
    try {
      await carry(this.#tunnel, this.#settings.stdio);
      return 0;
    } catch (error) {
      const refused = openRefusal(error);
      this.#messages.error(refused === undefined ? systemWords(error) : `channel 0: ${refused}`);
      this.#messages.error('stdio forwarding failed');
      return FAILED;
    }
  }

  async #forward(server) {
    const tunnel = this.#tunnel;
    const title = `sshtunnel ${plain(server.username)}@${plain(place(server.host, server.port))}`;
    this.#picture = { title, closing: false, tally: this.#tally, forwardings: this.#forwardings };
    const finished = new Promise((resolve) => (this.#finish = resolve));
    const witness = new Witness({ messages: this.#messages, reports: this.#reports, tally: this.#tally });
    witness.follow(tunnel, server);
    tunnel.on('error', () => (this.#status = FAILED));
    tunnel.on('forwardError', () => this.#settings.exitOnForwardFailure && this.#fail());
    tunnel.on('close', () => this.#finish(this.#status));
    witness.ready();
    this.#signals.handler = (name) => this.#drain(name);
    if (!(await this.#openForwardings())) this.#fail();
    else if (!this.#picture.closing) this.#show();
    const status = await finished;
    this.#view?.stop();
    return status;
  }

  /** Whether there is anything to stay for. */
  async #openForwardings() {
    let opened = 0;
    for (const forwarding of this.#forwardings) {
      if (this.#picture.closing) return true;
      if (await forwarding.open(this.#tunnel, this.#settings, this.#messages)) {
        opened += 1;
        for (const forward of forwarding.forwards) this.#reports?.write('listening', forwardMembers(forward));
      } else if (this.#settings.exitOnForwardFailure) {
        return false;
      }
    }
    this.#messages.debug(1, `${opened} of ${this.#forwardings.length} forwardings are there.`);
    return opened > 0 || this.#forwardings.length === 0;
  }

  #show() {
    if (this.#tally === undefined) return;
    this.#view = new View(this.#picture);
    this.#view.start(this.#tunnel);
    this.#messages.write = (text) => this.#view.say(text);
    if (this.#terminal !== undefined) this.#terminal.screen = this.#view;
  }

  #fail() {
    this.#status = FAILED;
    this.#tunnel.shutdown(() => {});
  }

  /** The first signal: nothing new, and what is open may finish. The next one ends everything. */
  #drain(name) {
    this.#picture.closing = true;
    this.#signals.handler = (next) => this.#force(next);
    this.#reports?.write('closing', { signal: name });
    this.#messages.verbose(`Closing, after ${name}.`);
    const { closeTimeout } = this.#settings;
    if (closeTimeout === null) this.#tunnel.shutdown(() => {});
    else this.#tunnel.close({ timeout: closeTimeout }, () => {});
    if (process.stderr.isTTY) this.#tellWaiting();
  }

  /** The second signal: everything is reset, told of, and the process ends by the signal. A third one does not wait. */
  #force(name) {
    this.#forcedBy = name;
    this.#reports?.write('closing', { signal: name, force: true });
    this.#messages.verbose(`Resetting what is open, after ${name}.`);
    this.#tunnel.shutdown({ force: true }, () => {});
  }

  async #tellWaiting() {
    const { length } = await this.#tunnel.promises.connections();
    if (length > 0) this.#messages.info(`Waiting for ${length} connection(s) to finish: once more resets them.`);
  }

  /** Nobody reads the reports any more: as when the terminal hangs up. */
  #unread(error) {
    this.#messages.error(`standard output: ${systemWords(error)}`);
    if (this.#tunnel !== undefined && this.#picture !== undefined && !this.#picture.closing) this.#drain('EPIPE');
  }

  #restore() {
    this.#terminal?.restore();
    this.#view?.stop();
  }

  /** Ends the process when everything is written, or nobody reads it. */
  async end(status) {
    this.#restore();
    await this.#reports?.end(this.#forcedBy === undefined ? FAREWELL : LAST_MOMENT);
    if (this.#forcedBy !== undefined) this.#signals.die(this.#forcedBy);
    // Standard input may still be open, and nobody is waiting for it.
    process.exit(status);
  }
}

function prepare(argv) {
  const line = parseArguments(argv);
  if (line.help || line.version) return { line };
  if (line.host === undefined) throw new UsageError('a destination is missing', { usage: true });
  for (const warning of missingIdentities(line.identities)) process.stderr.write(`${plain(warning)}\n`);
  return { line, settings: new Settings(line) };
}

/** What is said of an error that ends everything, and of one that nobody expected. */
function complaint(error) {
  if (error instanceof UsageError) return `sshtunnel: ${error.message}${error.usage ? `\n${USAGE}` : ''}`;
  return `sshtunnel: ${error.code === undefined ? error.stack : configPlace(error.message)}`;
}

/** @param {string[]} argv without the names of Node and of the program */
async function main(argv) {
  // Whoever reads what is said may go before us.
  process.stderr.on('error', () => {});
  try {
    const { line, settings } = prepare(argv);
    if (settings === undefined) {
      process.stdout.write(line.help ? HELP : `sshtunnel ${version}\n`);
      return;
    }
    const run = new Run(line, settings);
    await run.end(await run.run());
  } catch (error) {
    for (const line of complaint(error).split('\n')) process.stderr.write(`${plain(line)}\n`);
    process.exit(FAILED);
  }
}

module.exports = { main };
