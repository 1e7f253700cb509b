'use strict';

// `sshtunnel down`: closes tunnels in the background, and waits for their ends.

const { writeError } = require('../output/standard-error.js');
const { FAILED } = require('../status.js');
const { connect, connectOrStart } = require('./client.js');
const { readHow, readOptions, subcommand, usageError } = require('./options.js');
const { profileNames } = require('./profiles.js');
const { tunnelLine } = require('./report.js');
const { readWanted } = require('./wanted.js');

/** Checks the names of tunnels that are neither up nor wanted. @returns {number} the exit status */
function withoutTunnel(names) {
  const known = names.length === 0 ? [] : profileNames();
  let status = 0;
  for (const name of names) {
    if (known.includes(name)) {
      process.stdout.write(`${tunnelLine({ name, state: 'down' })}\n`);
      continue;
    }
    writeError(`${tunnelLine({ name, state: 'down', reason: 'there is no such tunnel' })}\n`);
    status = FAILED;
  }
  return status;
}

/** @param {string[]} argv @returns {Promise<number>} the exit status */
async function run(argv) {
  const parsed = readOptions('down', argv);
  if (parsed === undefined) return 0;
  const { values, names } = parsed;
  const isAll = values.all === true;
  if (isAll !== (names.length === 0))
    throw usageError('down', isAll ? '--all goes without names' : 'a name is missing');
  const how = readHow(values);
  // What is wanted is forgotten by a supervisor, also if it is not up.
  const client = readWanted().length > 0 ? await connectOrStart() : await connect();
  if (client === undefined) return withoutTunnel(names);
  try {
    const { tunnels } = await client.ask('list');
    const known = tunnels.map(({ name }) => name);
    const chosen = isAll ? known : names.filter((name) => known.includes(name));
    await client.ask('down', { names: chosen, ...how });
    for (const name of chosen) {
      const { tunnel } = await client.ask('wait', { name, down: true });
      process.stdout.write(`${tunnelLine(tunnel)}\n`);
    }
    return withoutTunnel(names.filter((name) => !known.includes(name)));
  } finally {
    client.close();
  }
}

module.exports = { run: subcommand(run) };
