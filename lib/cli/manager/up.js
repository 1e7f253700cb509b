'use strict';

// `sshtunnel up`: brings tunnels up in the background, and waits until they are.

const { splitArguments } = require('../arguments.js');
const { writeError } = require('../output/standard-error.js');
const { plain } = require('../output/text.js');
const { FAILED } = require('../status.js');
const { connectOrStart } = require('./client.js');
const { subcommand, usageError, usageOf } = require('./options.js');
const { checkProfile } = require('./profiles.js');
const { tunnelLine } = require('./report.js');
const { readWanted } = require('./wanted.js');

/** Members of a command line that go with no tunnel in the background, and their options. */
const REFUSED = {
  json: '--json',
  logFile: '-E',
  stdio: '-W',
  prints: '-G',
  query: '-Q',
  control: '-O',
  version: '--version',
};

/** What a tunnel's process gets of this one. */
const surroundings = () => ({ cwd: process.cwd(), env: { ...process.env } });

/**
 * Waits until tunnels are up or not, and prints a line for each.
 * @param {Awaited<ReturnType<typeof connectOrStart>>} client
 * @param {any[]} tunnels of a reply
 * @returns {Promise<number>} the exit status
 */
async function awaitTunnels(client, tunnels) {
  let status = 0;
  for (const { name, refused } of tunnels) {
    if (refused !== undefined) {
      writeError(`${plain(name)}: ${plain(refused)}\n`);
      status = FAILED;
      continue;
    }
    const { tunnel } = await client.ask('wait', { name });
    const isUp = tunnel.state === 'up';
    if (!isUp) status = FAILED;
    const line = `${tunnelLine(tunnel)}\n`;
    if (isUp) process.stdout.write(line);
    else writeError(line);
  }
  return status;
}

/** @param {string[]} argv @returns {Promise<number>} the exit status */
async function run(argv) {
  const { options, names: all, line } = splitArguments(argv);
  if (line.help) {
    process.stdout.write(`${usageOf('up')}\n`);
    return 0;
  }
  for (const [member, option] of Object.entries(REFUSED))
    if (line[member] !== undefined) throw usageError('up', `${option} cannot be given for a tunnel in the background`);
  const names = [...new Set(all)];
  if (names.length === 0 && options.length > 0) throw usageError('up', 'a name is missing');
  if (names.length === 0 && readWanted().length === 0)
    throw usageError('up', 'no tunnel is wanted, so a name is needed');
  for (const [service, { port }] of Object.entries(line.services)) {
    if (names.length < 2 || port === 0) continue;
    const reason = 'is for one tunnel: each needs a port of its own, and port 0 is any free one';
    throw usageError('up', `--${service} with port ${port} ${reason}`);
  }
  for (const name of names) checkProfile(options, name);
  const client = await connectOrStart();
  try {
    const { tunnels } = await client.ask('up', { names, args: options, ...surroundings() });
    return await awaitTunnels(client, tunnels);
  } finally {
    client.close();
  }
}

module.exports = { awaitTunnels, run: subcommand(run), surroundings };
