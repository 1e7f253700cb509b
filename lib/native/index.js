'use strict';

// The border to the addon:
//
//   load.js          finds the addon's binary, or says why there is none
//   bridge.js        numbers for tunnels and calls; the one function that the addon calls
//   calls.js         methods in three forms (blocking, callback, promise) from one function
//   stream-end.js    a stream whose other end is in the addon
//   join-stream.js   passes bytes between a stream of the application and a session

module.exports = {
  ...require('./bridge.js'),
  ...require('./calls.js'),
  ...require('./join-stream.js'),
  ...require('./stream-end.js'),
  binding: require('./load.js'),
};
