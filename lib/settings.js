'use strict';

const { rateCalls } = require('./connection.js');
const { binding } = require('./native/index.js');
const { checkBoolean, checkLingerOption, checkMilliseconds, unpackLinger } = require('./validate/index.js');

const { Method } = binding;

/**
 * The calls about the settings of a tunnel.
 * @param {(tunnel, settler, method: number, number?: number, options?: object) => any} call
 */
const settingsCalls = (call) => ({
  getLinger: (tunnel, settler) => call(tunnel, settler, Method.GetLinger, 0, { result: Boolean }),
  setLinger: (tunnel, settler, linger) =>
    call(tunnel, settler, Method.SetLinger, Number(checkBoolean(linger, 'linger'))),
  getLingerOption: (tunnel, settler) => call(tunnel, settler, Method.GetLingerOption, 0, { result: unpackLinger }),
  setLingerOption: (tunnel, settler, value) =>
    call(tunnel, settler, Method.SetLingerOption, checkLingerOption(value, 'value')),
  getKeepAlive: (tunnel, settler) => call(tunnel, settler, Method.GetKeepAlive, 0, { result: Boolean }),
  setKeepAlive: (tunnel, settler, keepAlive) =>
    call(tunnel, settler, Method.SetKeepAlive, Number(checkBoolean(keepAlive, 'keepAlive'))),
  getIdleTimeout: (tunnel, settler) => call(tunnel, settler, Method.GetIdleTimeout),
  setIdleTimeout: (tunnel, settler, idleTimeout) =>
    call(tunnel, settler, Method.SetIdleTimeout, checkMilliseconds(idleTimeout, 'idleTimeout')),
  ...rateCalls(
    (tunnel, settler, method, options) => call(tunnel, settler, method, 0, options),
    Method.GetMaxRate,
    Method.SetMaxRate,
  ),
});

module.exports = { settingsCalls };
