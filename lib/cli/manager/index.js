'use strict';

// Tunnels in the background: `sshtunnel up` and the subcommands beside it. A host of ssh_config with a forward is a
// profile. One supervisor for each user has a process for each tunnel, and starts it again when it ends.
//
//   up.js, down.js, restart.js, ls.js, status.js, logs.js   the subcommands
//   profiles.js     the hosts of the files that have forwards
//   options.js      the command lines of the subcommands; report.js: what they print
//   client.js       the connection to the supervisor, which is started if there is none
//   places.js       the folders and the socket; wanted.js: the file of the tunnels that are to be up; log.js: their logs
//   supervise.js    runs the supervisor, supervisor.js: answers requests, tunnel.js: one tunnel, and what becomes of it
//   tunnel-process.js   the process of a tunnel, as the supervisor sees it; supervised.js: within that process

module.exports = require('./profiles.js');
