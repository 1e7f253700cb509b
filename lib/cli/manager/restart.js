'use strict';

// `sshtunnel restart`: closes tunnels in the background, and brings them up again with the same options.

const { connectOrStart } = require('./client.js');
const { readHow, readOptions, subcommand } = require('./options.js');
const { checkProfile } = require('./profiles.js');
const { awaitTunnels, surroundings } = require('./up.js');
const { readWanted } = require('./wanted.js');

/** @param {string[]} argv @returns {Promise<number>} the exit status */
async function run(argv) {
  const parsed = readOptions('restart', argv, { min: 1 });
  if (parsed === undefined) return 0;
  const { values, names } = parsed;
  const how = readHow(values);
  const wanted = readWanted().map(({ name }) => name);
  for (const name of names) if (!wanted.includes(name)) checkProfile([], name);
  const client = await connectOrStart();
  try {
    const { tunnels } = await client.ask('restart', { names, args: [], ...surroundings(), ...how });
    return await awaitTunnels(client, tunnels);
  } finally {
    client.close();
  }
}

module.exports = { run: subcommand(run) };
