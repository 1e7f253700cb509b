'use strict';

// Words that make the command another one, when they are its first argument: `sshtunnel up db`. A host of such a name is
// reached by `sshtunnel -- up`.

/**
 * By the word: the module that runs it. Its `run(argv)` gets the arguments behind the word, and returns the exit status.
 * @type {Record<string, () => { run(argv: string[]): Promise<number> }>}
 */
const SUBCOMMANDS = {
  up: () => require('./manager/up.js'),
  down: () => require('./manager/down.js'),
  restart: () => require('./manager/restart.js'),
  ls: () => require('./manager/ls.js'),
  status: () => require('./manager/status.js'),
  logs: () => require('./manager/logs.js'),
  supervise: () => require('./manager/supervise.js'),
  completion: () => require('./completion/index.js'),
  service: () => require('./install/index.js'),
};

/** @param {string[]} argv @returns {(() => Promise<number>) | undefined} */
function subcommandOf([word, ...rest]) {
  if (word === undefined || !Object.hasOwn(SUBCOMMANDS, word)) return undefined;
  return () => SUBCOMMANDS[word]().run(rest);
}

module.exports = { SUBCOMMANDS, subcommandOf };
