'use strict';

// Opens the forwardings of -L, -D and -R, with the messages of ssh.

const { systemWords } = require('./output/messages.js');
const { place } = require('./output/text.js');

const FLAGS = { local: '-L', dynamic: '-D', remote: '-R' };

/** The addresses that stand for all addresses of this machine, and for its own connections only. */
const ANY = { any: ['::', '0.0.0.0'], inet: ['0.0.0.0'], inet6: ['::'] };
const LOOPBACK = { any: ['127.0.0.1', '::1'], inet: ['127.0.0.1'], inet6: ['::1'] };

/** Codes where this machine has no such address, or none of the family. */
const ABSENT = ['EADDRNOTAVAIL', 'EAFNOSUPPORT'];

/**
 * @typedef {{ localHost?: string, localPort?: number, localPath?: string, localPathMode?: number, localFd?: number }} LocalOptions
 */

/** One forwarding of the command line or of a file. */
class Forwarding {
  /** The tunnel's forwards: two for the loopback addresses of both families. @type {import('../../index.js').Forward[]} */
  forwards = [];
  #descriptors;

  /**
   * @param {{ kind: string, listen: import('../ssh-config/forwardings.js').ListenAddr, connect?: import('../ssh-config/forwardings.js').ListenAddr }} forwarding
   * @param {number[]} [descriptors] sockets that listen already, in place of its addresses
   */
  constructor({ kind, listen, connect }, descriptors = []) {
    this.#descriptors = descriptors;
    this.kind = kind;
    this.listen = listen;
    this.connect = connect;
  }

  /** Where it listens: as it was bound, or as it was asked for. */
  get from() {
    const [{ localHost, localPort, localPath, remoteHost, remotePort, remotePath } = {}] = this.forwards;
    if (this.listen.path !== undefined) return localPath ?? remotePath ?? this.listen.path;
    const { host = this.kind === 'remote' ? 'localhost' : '127.0.0.1', port } = this.listen;
    return this.kind === 'remote'
      ? place(remoteHost || host || '*', remotePort ?? port)
      : place(localHost ?? host, localPort ?? port);
  }

  /** What its connections lead to. */
  get to() {
    if (this.connect === undefined) return 'SOCKS';
    return this.connect.path ?? place(this.connect.host, this.connect.port);
  }

  get name() {
    return `${FLAGS[this.kind]} ${this.from} -> ${this.to}`;
  }

  /**
   * @param {import('../../index.js').SSHTunnel} tunnel
   * @param {import('./settings.js').Settings} settings
   * @param {import('./output/messages.js').Messages} messages
   * @returns {Promise<boolean>} whether it listens; otherwise a message has said why not
   */
  async open(tunnel, settings, messages) {
    return this.kind === 'remote'
      ? this.#openRemote(tunnel, settings, messages)
      : this.#openLocal(tunnel, settings, messages);
  }

  /** Stops listening. Open connections continue. */
  async close() {
    await Promise.all(this.forwards.map((forward) => forward.promises.stop()));
  }

  async #openLocal(tunnel, settings, messages) {
    const method = this.kind === 'dynamic' ? 'forwardDynamic' : 'forwardLocal';
    const failures = [];
    /** @type {LocalOptions[]} */
    const inherited = this.#descriptors.map((localFd) => ({ localFd }));
    for (const local of inherited.length > 0 ? inherited : this.listenAddresses(settings)) {
      // Another family gets the port that the first one was given.
      const localPort = local.localPort === 0 ? this.forwards[0]?.localPort : undefined;
      try {
        this.forwards.push(
          await tunnel.promises[method]({ ...local, ...(localPort && { localPort }), ...targetOf(this.connect) }),
        );
      } catch (error) {
        failures.push({ ...local, error });
      }
      if (inherited.length === 0 && this.forwards.length > 0 && this.#isAny(settings)) break;
    }
    const found = this.forwards.length > 0;
    for (const { error, ...local } of failures) {
      const text = `${bindingText(local)}: ${systemWords(error)}`;
      // A machine may lack one of the families; a port that is in use is an error.
      if ((found || failures.length > 1) && ABSENT.includes(error.code)) messages.verbose(text);
      else messages.error(text);
    }
    if (found) {
      messages.debug(1, `Local connections to ${this.from} forwarded to remote address ${this.to}`);
    } else {
      if (this.listen.path === undefined) messages.error(`cannot listen to port: ${this.listen.port}`);
      messages.error(`Could not request ${this.kind} forwarding.`);
    }
    const [failure] = failures.filter(({ error }) => !ABSENT.includes(error.code));
    if (failure !== undefined) messages.hint({ step: 'local', error: failure.error, listen: this.listen });
    return found;
  }

  async #openRemote(tunnel, settings, messages) {
    const { host, port, path } = this.listen;
    // The empty name stands for all addresses of the server.
    const remote =
      path === undefined
        ? { remoteHost: host === undefined ? 'localhost' : host === '*' ? '' : host, remotePort: port }
        : { remotePath: path };
    try {
      this.forwards.push(
        await tunnel.promises.forwardRemote({
          ...remote,
          ...(this.connect === undefined ? { socks: true } : targetOf(this.connect)),
        }),
      );
    } catch (error) {
      const severity = settings.exitOnForwardFailure ? 'Error' : 'Warning';
      messages.error(
        `${severity}: remote port forwarding failed for listen ${path === undefined ? `port ${port}` : `path ${path}`}`,
      );
      messages.debug(1, error.message);
      if (error.code === 'ERR_SSH_FORWARD_REFUSED') messages.hint({ step: 'remote', error, listen: this.listen });
      return false;
    }
    if (port === 0) messages.info(`Allocated port ${this.forwards[0].remotePort} for remote forward to ${this.to}`);
    else messages.debug(1, `remote forward success for: listen ${this.from}, connect ${this.to}`);
    messages.hint({ step: 'bound', error: undefined, listen: this.listen });
    return true;
  }

  /** Whether all addresses are meant: one listener is enough for both families then. */
  #isAny({ gatewayPorts }) {
    const { host, path } = this.listen;
    return path === undefined && (host === '' || host === '*' || (host === undefined && gatewayPorts));
  }

  /**
   * Where it listens if it is local or dynamic, as options of the forwards.
   * @returns {LocalOptions[]}
   */
  listenAddresses(settings) {
    const { host, port, path } = this.listen;
    if (path !== undefined) return [{ localPath: path, ...settings.socketFile }];
    let hosts = [host];
    if (this.#isAny(settings)) hosts = ANY[settings.family];
    else if (host === undefined || host === 'localhost') hosts = LOOPBACK[settings.family];
    return hosts.map((localHost) => ({ localHost, localPort: port }));
  }
}

/** What could not be done. @param {LocalOptions} options */
function bindingText({ localHost, localPort, localPath, localFd }) {
  if (localFd !== undefined) return `cannot listen on descriptor ${localFd}`;
  return localPath === undefined ? `bind [${localHost}]:${localPort}` : `cannot bind to path ${localPath}`;
}

function targetOf(connect) {
  if (connect === undefined) return {};
  return connect.path === undefined
    ? { forwardHost: connect.host, forwardPort: connect.port }
    : { forwardPath: connect.path };
}

/**
 * Rejects connections by SOCKS proxies at the server to targets that PermitRemoteOpen does not list. As for ssh, names
 * are compared as they are.
 * @param {import('../../index.js').SSHTunnel} tunnel
 * @param {{ host: string, port: number | '*' }[]} targets
 * @param {import('./output/messages.js').Messages} messages
 * @returns {() => void} to be called when a forward is open: decides about connections that came before it was known
 */
function permitOnly(tunnel, targets, messages) {
  /** Requests whose forward is being opened. @type {Set<import('../../index.js').ConnectionRequest>} */
  const waiting = new Set();
  /** @param {import('../../index.js').ConnectionRequest} request */
  const decide = (request) => {
    const { forwardId, forwardHost, forwardPort } = request;
    const forward = tunnel.forwards().find((it) => it.forwardId === forwardId);
    const isListed = ({ host, port }) =>
      (host === '*' || host === forwardHost) && (port === '*' || port === forwardPort);
    if ((forward !== undefined && !isServerProxy(forward)) || targets.some(isListed)) {
      request.accept();
    } else if (forward === undefined) {
      waiting.add(request);
    } else {
      messages.verbose(
        `Refused remote forward to ${place(forwardHost, forwardPort)}: PermitRemoteOpen does not list it.`,
      );
      request.reject();
    }
  };
  tunnel.on('connectionRequest', decide);
  return () => {
    const requests = [...waiting];
    waiting.clear();
    requests.forEach(decide);
  };
}

/** Whether a forward is a SOCKS proxy at the server. @param {import('../../index.js').Forward} forward */
function isServerProxy({ kind, forwardHost, forwardPath }) {
  return kind === 'remote' && (forwardHost ?? forwardPath) === undefined;
}

module.exports = { Forwarding, permitOnly };
