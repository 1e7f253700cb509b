// The same package through require().
import tunnels = require('sshtunnel-native');

const tunnel: tunnels.SSHTunnel = new tunnels.SSHTunnel({ host: 'h', forwardHost: 'f', forwardPort: 1 });
const linger: tunnels.Linger = tunnel.getLingerOption();
const same: typeof tunnels.SSHTunnel = tunnels.sshtunnel;
export = [tunnel, linger, same];
