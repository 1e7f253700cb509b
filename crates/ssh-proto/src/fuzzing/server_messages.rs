//! Messages of a server in a connected session.

use std::sync::LazyLock;

use super::Input;
use super::server_model::MAX_CHANNELS;
use crate::key::PrivateKey;
use crate::message::{
    CHANNEL_CLOSE, CHANNEL_DATA, CHANNEL_EOF, CHANNEL_EXTENDED_DATA, CHANNEL_OPEN,
    CHANNEL_OPEN_CONFIRMATION, CHANNEL_OPEN_FAILURE, CHANNEL_REQUEST, CHANNEL_WINDOW_ADJUST,
    EXT_INFO, GLOBAL_REQUEST, REQUEST_FAILURE, REQUEST_SUCCESS,
};
use crate::wire::{self, Writer};

/// A host key of the server that the client does not know.
pub(super) static KEY: LazyLock<PrivateKey> =
    LazyLock::new(|| PrivateKey::parse(include_bytes!("../key/fixtures/ed25519"), None).unwrap());
/// Sizes of windows and packets at the limits.
const SIZES: [u32; 6] = [0, 1, 100, 32_768, 2_000_000, u32::MAX];

/// Returns a message of the server.
pub(super) fn message(input: &mut Input<'_>) -> Vec<u8> {
    let number = match input.below(16) {
        0 => return input.chunk().to_vec(),
        1..=3 => CHANNEL_OPEN_CONFIRMATION,
        4 => CHANNEL_OPEN_FAILURE,
        5 | 6 => CHANNEL_WINDOW_ADJUST,
        7..=9 => CHANNEL_DATA,
        10 => CHANNEL_EXTENDED_DATA,
        11 => CHANNEL_EOF,
        12 => CHANNEL_CLOSE,
        13 => CHANNEL_REQUEST,
        14 => GLOBAL_REQUEST,
        _ => EXT_INFO,
    };
    let mut payload = wire::message(number);
    match number {
        GLOBAL_REQUEST => return request(input),
        EXT_INFO => {
            let count = input.below(4);
            if count == 3 {
                return open(input);
            }
            payload.put_uint32(count as u32);
            payload.put_string(b"server-sig-algs");
            payload.put_string(input.chunk());
            return payload;
        }
        _ => payload.put_uint32(input.below(MAX_CHANNELS + 1) as u32),
    }
    match number {
        CHANNEL_OPEN_CONFIRMATION => {
            payload.put_uint32(0);
            payload.put_uint32(input.pick(&SIZES));
            payload.put_uint32(input.pick(&SIZES));
        }
        CHANNEL_OPEN_FAILURE => {
            payload.put_uint32(input.below(6) as u32);
            payload.put_string(input.chunk());
            payload.put_string(b"");
        }
        CHANNEL_WINDOW_ADJUST => payload.put_uint32(input.pick(&SIZES)),
        CHANNEL_DATA | CHANNEL_EXTENDED_DATA => {
            if number == CHANNEL_EXTENDED_DATA {
                payload.put_uint32(1);
            }
            let (value, count) = (input.byte(), input.length());
            let data: Vec<u8> = (0..count).map(|at| value.wrapping_add(at as u8)).collect();
            payload.put_string(&data);
        }
        CHANNEL_REQUEST => {
            payload.put_string(input.chunk());
            payload.put_boolean(input.flag());
        }
        _ => {}
    }
    payload
}

/// Returns a CHANNEL_OPEN for a forward.
fn open(input: &mut Input<'_>) -> Vec<u8> {
    let mut payload = wire::message(CHANNEL_OPEN);
    let is_port = !input.flag();
    let (name, place) = if is_port {
        ("forwarded-tcpip", "localhost")
    } else {
        ("forwarded-streamlocal@openssh.com", "/run/app")
    };
    payload.put_string(name.as_bytes());
    payload.put_uint32(0);
    payload.put_uint32(input.pick(&SIZES));
    payload.put_uint32(input.pick(&SIZES));
    payload.put_string(if input.flag() { input.chunk() } else { place.as_bytes() });
    if is_port {
        payload.put_uint32(input.pick(&[8080, 8080, 0, 1]));
    }
    payload.put_string(input.chunk());
    if is_port {
        payload.put_uint32(4000);
    }
    payload
}

/// Returns a global request, or the reply to one.
fn request(input: &mut Input<'_>) -> Vec<u8> {
    let mut payload = wire::message(GLOBAL_REQUEST);
    match input.below(4) {
        0 => {
            payload.put_string(input.chunk());
            payload.put_boolean(input.flag());
            payload.extend(input.chunk());
        }
        1 => {
            payload.put_string(b"hostkeys-00@openssh.com");
            payload.put_boolean(input.flag());
            for _ in 0..input.below(4) {
                let blob = if input.flag() { input.chunk() } else { KEY.public_blob() };
                payload.put_string(blob);
            }
        }
        2 => {
            let mut signed = Vec::new();
            for part in [b"hostkeys-prove-00@openssh.com", &b""[..], KEY.public_blob()] {
                signed.put_string(part);
            }
            payload = wire::message(REQUEST_SUCCESS);
            payload.put_string(&KEY.sign("ssh-ed25519", &signed).unwrap());
            payload.extend(input.chunk());
        }
        _ => {
            payload = wire::message(input.pick(&[REQUEST_FAILURE, REQUEST_SUCCESS]));
            payload.extend(input.chunk());
        }
    }
    payload
}
