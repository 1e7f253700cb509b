'use strict';

// Checks of what applications pass, before anything changes. A check returns what the addon takes, or throws a
// TypeError or RangeError that names the argument or option, as Node.js does.
//
//   options.js      the constructor's options; server.js: those of a server or jump host; option-names.js: their names
//   credentials.js  what proves who the user is, and what functions in its place give
//   forward.js      options of forwards and of dial()
//   arguments.js    other arguments of methods
//   names.js        hosts, users, paths and ports, wherever they come from
//   proxy.js        the proxy on the way to the server
//   linger.js       the LINGER structure, and the number that the addon takes for it
//   rate.js         limits of a rate
//   secret.js       passwords, keys and answers, in memory that is wiped
//   primitives.js   booleans, integers, objects; limits.js: the ranges of numbers

module.exports = {
  ...require('./arguments.js'),
  ...require('./credentials.js'),
  ...require('./forward.js'),
  ...require('./linger.js'),
  ...require('./names.js'),
  ...require('./options.js'),
  ...require('./primitives.js'),
  ...require('./rate.js'),
  ...require('./secret.js'),
  checkDuplex: require('./server.js').checkDuplex,
};
