// @ts-nocheck: at most two of these modules exist.
'use strict';

// The addon's binary for each platform, by the name of the platform's package: `built` by `npm run build`, or `installed`
// with that package. The names are literal, so that tools which collect a program's files find them.

module.exports = {
  'linux-x64-gnu': {
    built: () => require('../../sshtunnel-native.linux-x64-gnu.node'),
    installed: () => require('sshtunnel-native-linux-x64-gnu'),
  },
  'linux-arm64-gnu': {
    built: () => require('../../sshtunnel-native.linux-arm64-gnu.node'),
    installed: () => require('sshtunnel-native-linux-arm64-gnu'),
  },
  'linux-x64-musl': {
    built: () => require('../../sshtunnel-native.linux-x64-musl.node'),
    installed: () => require('sshtunnel-native-linux-x64-musl'),
  },
  'linux-arm64-musl': {
    built: () => require('../../sshtunnel-native.linux-arm64-musl.node'),
    installed: () => require('sshtunnel-native-linux-arm64-musl'),
  },
  'darwin-x64': {
    built: () => require('../../sshtunnel-native.darwin-x64.node'),
    installed: () => require('sshtunnel-native-darwin-x64'),
  },
  'darwin-arm64': {
    built: () => require('../../sshtunnel-native.darwin-arm64.node'),
    installed: () => require('sshtunnel-native-darwin-arm64'),
  },
  'win32-x64-msvc': {
    built: () => require('../../sshtunnel-native.win32-x64-msvc.node'),
    installed: () => require('sshtunnel-native-win32-x64-msvc'),
  },
};
