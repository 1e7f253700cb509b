'use strict';

// `sshtunnel service install NAME`: makes a service of a host of ssh_config that has forwards, for this user.
//
//   systemd.js   a user unit; launchd.js: an agent of macOS

const fs = require('node:fs');
const path = require('node:path');

const { makeContext } = require('../../ssh-config/context.js');
const { UsageError, parseArguments } = require('../arguments.js');
const { writeError } = require('../output/standard-error.js');
const { ROOT } = require('../root.js');
const { FAILED } = require('../status.js');

/**
 * What is to run.
 * @typedef {object} Service
 * @property {string} name
 * @property {string} mark the line by which its file is known
 * @property {string[]} command the program and its arguments
 * @property {number} stopSeconds how long it may take to end; Infinity without a limit
 * @property {string[]} notes for the reader of the file
 */

/**
 * What runs services.
 * @typedef {object} Manager
 * @property {(name: string) => string} fileOf
 * @property {(name: string) => string[]} linksOf what starts it, besides its file
 * @property {(service: Service) => string} text of the file
 * @property {(name: string) => string[][]} start commands
 * @property {(name: string) => string[][]} stop commands, while the file is there
 * @property {() => string[][]} forget commands, once it is stopped and the file is removed
 * @property {(name: string) => string[][]} end commands that stop it once the file is removed
 * @property {string | undefined} advice
 */

/** Seconds that connections may take to finish, if no file says otherwise. */
const CLOSE_SECONDS = 60;
/** Seconds for the rest of the end. */
const SPARE_SECONDS = 15;

/** What `-o` sets unless the files do. */
const SETTINGS = { Reconnect: 'yes', ExitOnForwardFailure: 'yes' };

/** Folders of programs that move with the next update. */
const MOVING = /[/\\](?:\.?nvm|\.?fnm|fnm_multishells|\.volta|\.asdf|\.nodenv|mise|\.n|Cellar)[/\\]/;
/** The folder that npx empties now and then. */
const TEMPORARY = /[/\\]_npx[/\\]/;

const SCRIPT = path.join(ROOT, 'bin', 'sshtunnel.js');

/** @returns {Manager} */
function managerHere() {
  const { home, uid, variables } = makeContext();
  if (home === undefined) throw new UsageError('service: the home folder of this user is not known');
  if (process.platform === 'darwin') return require('./launchd.js').launchd({ home, uid });
  if (process.platform === 'linux') return require('./systemd.js').systemd({ home, variables });
  throw new UsageError(`service: there are services of systemd and of launchd only, and none on ${process.platform}`);
}

const FLAGS = { '--print': 'print', '--yes': 'yes', '--now': 'now' };

/** Reads the arguments behind `service`. */
function parse(argv) {
  const request = { what: '', name: '', print: false, yes: false, now: false, configFile: undefined };
  const words = [];
  const rest = [...argv];
  while (rest.length > 0) {
    const word = rest.shift();
    if (Object.hasOwn(FLAGS, word)) request[FLAGS[word]] = true;
    else if (word.startsWith('-F')) request.configFile = path.resolve(word.slice(2) || (rest.shift() ?? ''));
    else if (word.startsWith('-')) throw new UsageError(`service: unknown option ${word}`);
    else words.push(word);
  }
  [request.what = '', request.name = ''] = words;
  if (!['install', 'uninstall'].includes(request.what) || request.name === '' || words.length > 2)
    throw new UsageError('service: give install or uninstall, and the name of a host of ssh_config');
  if (request.print && request.what !== 'install') throw new UsageError('service: --print is for install');
  return request;
}

/** What is to run for a host. @returns {Service} */
function serviceOf({ name, configFile }) {
  const file = configFile === undefined ? [] : ['-F', configFile];
  const line = parseArguments([...file, '--', name]);
  if (line.host !== name) throw new UsageError(`service: '${name}' is no name of a host of ssh_config`);
  const { Settings } = require('../settings.js');
  const settings = new Settings(line);
  if (settings.forwardings.length === 0)
    throw new UsageError(`service: ssh_config has no LocalForward, RemoteForward or DynamicForward for ${name}`);
  const has = (directive) => settings.reader.settings.has(directive);
  const added = Object.entries(SETTINGS).filter(([directive]) => !has(directive));
  // null: they do not wait; undefined: without a limit, which a file may ask for.
  let { closeTimeout } = settings;
  if (closeTimeout === undefined && !has('CloseTimeout')) {
    closeTimeout = CLOSE_SECONDS * 1000;
    added.push(['CloseTimeout', String(CLOSE_SECONDS)]);
  }
  const fixed = [['BatchMode', 'yes']];
  // The service manager waits for the process that it has started.
  if (settings.forks) fixed.push(['ForkAfterAuthentication', 'no']);
  const options = [...fixed, ...added].flatMap(([directive, value]) => ['-o', `${directive}=${value}`]);
  const notes = [];
  const command = [process.execPath, SCRIPT, ...file, ...options, name];
  if (MOVING.test(process.execPath))
    notes.push('Node.js is in a folder of its version: install this again after an update.');
  if (TEMPORARY.test(SCRIPT))
    notes.push('The command is in a folder of npx, which may be emptied: npm install -g keeps it.');
  const mark = 'Written by sshtunnel service install.';
  const stopSeconds = Math.ceil((closeTimeout === undefined ? Infinity : (closeTimeout ?? 0)) / 1000) + SPARE_SECONDS;
  return { name, mark, command, stopSeconds, notes };
}

/** The text of a file; undefined if there is none. */
function read(file) {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Writes a file at once: nobody sees a part of it. */
function write(file, text) {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const scratch = `${file}.${process.pid}`;
  fs.writeFileSync(scratch, text, { mode: 0o644, flag: 'wx' });
  fs.renameSync(scratch, file);
}

const print = (text) => process.stdout.write(`${text}\n`);

const shown = (command) => command.map((word) => (/^[\w./@:-]+$/.test(word) ? word : `'${word}'`)).join(' ');

/** Runs commands one after the other. @returns {boolean} whether all succeeded */
function runAll(commands) {
  const { spawnSync } = require('node:child_process');
  return commands.every(([program, ...args]) => {
    print(shown([program, ...args]));
    const { error, status } = spawnSync(program, args, { stdio: ['ignore', 'inherit', 'inherit'] });
    if (error !== undefined) writeError(`sshtunnel: ${program}: ${error.message}\n`);
    return status === 0;
  });
}

/** Whether the user agrees. */
async function agrees(question, { yes }) {
  if (yes) return true;
  const { Terminal } = require('../auth/terminal.js');
  const terminal = Terminal.open();
  if (terminal === undefined) throw new UsageError('service: there is no terminal to ask at; --yes does not ask');
  return terminal.confirm(question);
}

/** Runs the commands, or says which they are. @returns {number} the exit status */
function follow(commands, { now }) {
  if (now) return runAll(commands) ? 0 : FAILED;
  for (const command of commands) print(`  ${shown(command)}`);
  return 0;
}

async function install(manager, request) {
  const service = serviceOf(request);
  const file = manager.fileOf(request.name);
  const text = manager.text(service);
  if (request.print) {
    process.stdout.write(text);
    return 0;
  }
  const before = read(file);
  if (before === text) {
    print(`${file} is there, and the same.`);
  } else {
    print(text);
    if (before !== undefined) print(`${file} exists and differs:\n\n${before}`);
    if (!(await agrees(`${before === undefined ? 'Write' : 'Replace'} ${file}?`, request))) return FAILED;
    write(file, text);
    print(`${file} is ${before === undefined ? 'written' : 'replaced'}.`);
  }
  if (manager.advice !== undefined) print(manager.advice);
  if (!request.now) print('To start it now and at each login:');
  return follow(manager.start(request.name), request);
}

async function uninstall(manager, request) {
  const file = manager.fileOf(request.name);
  const text = read(file);
  if (text === undefined) throw new UsageError(`service: there is no ${file}`);
  if (!text.includes('Written by sshtunnel service install.'))
    throw new UsageError(`service: ${file} was not written by this command`);
  if (!(await agrees(`Remove ${file}?`, request))) return FAILED;
  // It can only be stopped by its name while its file is there.
  if (request.now && !runAll(manager.stop(request.name))) return FAILED;
  for (const each of [...manager.linksOf(request.name), file]) fs.rmSync(each, { force: true });
  print(`${file} is removed.`);
  if (!request.now) print('If it runs, this stops it:');
  return follow(request.now ? manager.forget() : manager.end(request.name), request);
}

/** @param {string[]} argv @returns {Promise<number>} the exit status */
async function run(argv) {
  const request = parse(argv);
  const manager = managerHere();
  return request.what === 'install' ? install(manager, request) : uninstall(manager, request);
}

module.exports = { run };
