'use strict';

// The command `sshtunnel`.
//
//   arguments.js     the command line; help.js: its help, and the table of flags; completion/: for shells
//   subcommands.js   the first words that make it another command; install/: service
//   code-cache.js    compiled code, kept between runs
//   settings.js      what the command line and the ssh_config files say; print.js: -G and -Q
//   run.js           from the settings to the exit status
//   service-manager.js   what systemd says in the environment; inherited-sockets.js: its sockets, for -L and -D
//   auth/            connect.js: connects, and asks the user for what may help
//   forwardings.js   -L, -D and -R; stdio.js: -W; child.js: run
//   control/         -M and -O: server.js, client.js, lines.js
//   monitor.js       what is known of the run at this moment; services/: what shows it to others, beside the tunnel
//   web/             the page of --web: server.js, state-stream.js; page/ is what runs in the browser
//   signals.js       SIGINT, SIGTERM and SIGHUP; background.js: -f; status.js: the exit status of failures
//   output/          standard-error.js: its stream; messages.js: what is written there, by log-format.js; json-lines.js: --json;
//                    event-log.js: events of the tunnel to all of these; summary.js: the last line; text.js: text for
//                    terminals
//   view/            view.js: the live view
//   root.js          the folder of the package; packages have all of this in one file, dist/cli/index.js

const { version } = require('../../package.json');
const { UsageError, parseArguments } = require('./arguments.js');
const { LOG_FORMATS } = require('./output/log-format.js');
const { writeError } = require('./output/standard-error.js');
const { plain } = require('./output/text.js');
const { hasServiceManager, takeServiceManager } = require('./service-manager.js');
const { subcommandOf } = require('./subcommands.js');

// Modules that not every run needs are loaded where they are used: loading is most of the time that the command takes
// to connect.

/** @param {import('./arguments.js').CommandLine} line @param {(level: string, text: string) => void} write */
function prepare(line, write) {
  if (line.help || line.version || line.query !== undefined) return {};
  if (line.host === undefined) throw new UsageError('a destination is missing', { usage: true });
  const { Settings, missingIdentities } = require('./settings.js');
  const settings = new Settings(line);
  if (line.prints || line.control !== undefined) return { settings };
  if (settings.forks && !require('./background.js').isChild()) return { settings, isParent: true };
  for (const warning of missingIdentities(line.identities)) write('INFO', warning);
  return { settings };
}

/** What is printed without a destination. @param {import('./arguments.js').CommandLine} line */
function answer({ help, version: asksVersion, query }) {
  if (help) return help === 'all' ? require('./help.js').fullHelp() : require('./help.js').HELP;
  if (asksVersion) return `sshtunnel ${version}\n`;
  return `${require('./print.js').query(query).join('\n')}\n`;
}

/**
 * What takes the run to the background, with -f.
 * @param {import('./settings.js').Settings} settings
 * @param {import('./arguments.js').CommandLine} line
 */
function backgroundOf({ forks, logLevel }, { logFile }) {
  if (!forks) return undefined;
  const { Background } = require('./background.js');
  return new Background(logFile === undefined && logLevel.startsWith('DEBUG'));
}

/** The message about an error that ends the command; with the stack if it is unexpected. */
function fatalMessage(error) {
  if (error instanceof UsageError) {
    const { USAGE } = require('./help.js');
    return `sshtunnel: ${error.message}${error.usage ? `\n${USAGE}\n       sshtunnel --help` : ''}`;
  }
  return `sshtunnel: ${error.code === undefined ? error.stack : error.message}`;
}

/**
 * @param {string[]} argv without the names of Node.js and of the program
 * @param {() => void} [keepCode] keeps the code that has been compiled, for runs to come
 */
async function main(argv, keepCode = () => {}) {
  let format = LOG_FORMATS.text;
  const write = (level, text) => {
    for (const line of format(level, text.split('\n').map(plain))) writeError(`${line}\n`);
  };
  try {
    const manager = hasServiceManager() ? takeServiceManager() : undefined;
    const subcommand = subcommandOf(argv);
    if (subcommand !== undefined) {
      process.exitCode = await subcommand();
      return;
    }
    const line = parseArguments(argv);
    format = LOG_FORMATS[line.logFormat];
    const { settings, isParent } = prepare(line, write);
    if (settings === undefined) {
      process.stdout.write(answer(line));
      return;
    }
    if (line.prints) {
      process.stdout.write(`${require('./print.js').settingsOf(settings).map(plain).join('\n')}\n`);
      return;
    }
    if (line.control !== undefined) {
      process.exitCode = await require('./control/client.js').control(line.control, settings);
      return;
    }
    if (isParent) {
      await require('./background.js').runInBackground(argv);
      return;
    }
    const { Run } = require('./run.js');
    const run = new Run(line, settings, { background: backgroundOf(settings, line), keepCode, manager });
    await run.end(await run.run());
  } catch (error) {
    write('FATAL', fatalMessage(error));
    process.exit(require('./status.js').FAILED);
  }
}

module.exports = { main };
