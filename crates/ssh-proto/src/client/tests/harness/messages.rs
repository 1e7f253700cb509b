//! Messages as a server writes them, valid or not.

use crate::message::{
    CHANNEL_DATA, CHANNEL_OPEN, CHANNEL_OPEN_CONFIRMATION, CHANNEL_OPEN_FAILURE,
    CHANNEL_WINDOW_ADJUST, GLOBAL_REQUEST,
};
use crate::wire::{Reader, Writer, message};

/// A value of a message.
#[derive(Clone, Copy)]
pub(crate) enum Part<'a> {
    Number(u32),
    Text(&'a [u8]),
    Flag(bool),
}
use Part::{Flag, Number, Text};

pub(crate) fn build(number: u8, parts: &[Part<'_>]) -> Vec<u8> {
    let mut payload = message(number);
    for part in parts {
        match *part {
            Number(value) => payload.put_uint32(value),
            Text(value) => payload.put_string(value),
            Flag(value) => payload.put_boolean(value),
        }
    }
    payload
}

/// Returns a message that consists of the recipient channel.
pub(crate) fn about(number: u8, channel: u32) -> Vec<u8> {
    build(number, &[Number(channel)])
}

pub(crate) fn confirm(channel: u32, remote: u32, window: u32, longest: u32) -> Vec<u8> {
    let parts = [Number(channel), Number(remote), Number(window), Number(longest)];
    build(CHANNEL_OPEN_CONFIRMATION, &parts)
}

pub(crate) fn refuse(channel: u32, reason: u32, why: &[u8]) -> Vec<u8> {
    build(CHANNEL_OPEN_FAILURE, &[Number(channel), Number(reason), Text(why), Text(b"")])
}

pub(crate) fn data(channel: u32, bytes: &[u8]) -> Vec<u8> {
    build(CHANNEL_DATA, &[Number(channel), Text(bytes)])
}

pub(crate) fn adjust(channel: u32, credit: u32) -> Vec<u8> {
    build(CHANNEL_WINDOW_ADJUST, &[Number(channel), Number(credit)])
}

pub(crate) fn global(name: &[u8], want_reply: bool) -> Vec<u8> {
    build(GLOBAL_REQUEST, &[Text(name), Flag(want_reply)])
}

/// Returns a CHANNEL_OPEN of the server for a forwarded port.
pub(crate) fn forwarded(remote: u32) -> Vec<u8> {
    forwarded_from(remote, "localhost", 8080)
}

/// Returns the same for a connection to this address and port.
pub(crate) fn forwarded_from(remote: u32, host: &str, port: u32) -> Vec<u8> {
    let parts = [
        Text(b"forwarded-tcpip"),
        Number(remote),
        Number(2_097_152),
        Number(32_768),
        Text(host.as_bytes()),
        Number(port),
        Text(b"192.0.2.1"),
        Number(4000),
    ];
    build(CHANNEL_OPEN, &parts)
}

/// Returns a CHANNEL_OPEN of the server for a forwarded Unix socket.
pub(crate) fn forwarded_unix(remote: u32, path: &str) -> Vec<u8> {
    let name = Text(b"forwarded-streamlocal@openssh.com");
    let sizes = [Number(2_097_152), Number(32_768)];
    let parts = [name, Number(remote), sizes[0], sizes[1], Text(path.as_bytes()), Text(b"")];
    build(CHANNEL_OPEN, &parts)
}

/// The fields of the client's `direct-tcpip` CHANNEL_OPEN.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) channel: u32,
    pub(crate) window: u32,
    pub(crate) longest: u32,
    pub(crate) host: String,
    pub(crate) port: u32,
    pub(crate) originator: String,
    pub(crate) originator_port: u32,
}

impl Open {
    pub(crate) fn parse(payload: &[u8]) -> Self {
        let mut reader = Reader::new(payload);
        assert_eq!(reader.byte(), Ok(CHANNEL_OPEN));
        assert_eq!(reader.text(), Ok("direct-tcpip"));
        let open = Self {
            channel: reader.uint32().unwrap(),
            window: reader.uint32().unwrap(),
            longest: reader.uint32().unwrap(),
            host: reader.text().unwrap().into(),
            port: reader.uint32().unwrap(),
            originator: reader.text().unwrap().into(),
            originator_port: reader.uint32().unwrap(),
        };
        assert_eq!(reader.remaining(), 0);
        open
    }
}

/// Returns the channel, and the data or the credit.
pub(crate) fn parse_adjust(payload: &[u8]) -> (u32, u32) {
    let mut reader = Reader::new(payload);
    assert_eq!(reader.byte(), Ok(CHANNEL_WINDOW_ADJUST));
    let parsed = (reader.uint32().unwrap(), reader.uint32().unwrap());
    assert_eq!(reader.remaining(), 0);
    parsed
}

pub(crate) fn parse_data(payload: &[u8]) -> (u32, &[u8]) {
    let mut reader = Reader::new(payload);
    assert_eq!(reader.byte(), Ok(CHANNEL_DATA));
    let (channel, bytes) = (reader.uint32().unwrap(), reader.string().unwrap());
    assert_eq!(reader.remaining(), 0);
    (channel, bytes)
}
