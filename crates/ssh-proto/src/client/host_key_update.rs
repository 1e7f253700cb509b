//! The other host keys of a server (OpenSSH's PROTOCOL, section 2.5): it names them after the
//! logon, and proves to own those that are new.

use super::global_request::Kind;
use super::{Client, Event};
use crate::key::{PublicKey, VerifyError};
use crate::message::GLOBAL_REQUEST;
use crate::wire::{Malformed, Reader, Writer, message};

/// What a server names its keys in.
pub(super) const ANNOUNCEMENT: &[u8] = b"hostkeys-00@openssh.com";
/// What it is asked for proofs with; also part of what it signs.
const PROOF: &[u8] = b"hostkeys-prove-00@openssh.com";
/// Keys that a server may name. OpenSSH has three; each is verified between two turns of others.
const MOST_KEYS: usize = 16;

/// How far it has come.
#[derive(Debug, Default)]
enum Stage {
    /// Nobody wants to know.
    #[default]
    Unwanted,
    /// The server has not named its keys; the blobs of those that are known.
    Awaited(Vec<Vec<u8>>),
    /// The server is to prove that it owns these keys, in answer to the request of this number.
    Asked(Vec<PublicKey>, u64),
}

/// What is under way about the host keys.
#[derive(Debug, Default)]
pub(super) struct HostKeys {
    stage: Stage,
}

impl HostKeys {
    /// The request of this number was answered; the keys if it is the one about them.
    fn answered(&mut self, number: u64) -> Option<Vec<PublicKey>> {
        match &mut self.stage {
            Stage::Asked(keys, asked) if *asked == number => {
                let keys = std::mem::take(keys);
                self.stage = Stage::Unwanted;
                Some(keys)
            }
            Stage::Asked(..) | Stage::Unwanted | Stage::Awaited(_) => None,
        }
    }
}

impl Client {
    /// Asks to be told in [`Event::HostKeys`] which keys the server has beside those `known`. To be
    /// called before [`Client::trust`], if the key is trusted for what it is: a certificate may
    /// tell only of itself.
    pub fn learn_host_keys(&mut self, known: Vec<Vec<u8>>) {
        self.host_keys.stage = Stage::Awaited(known);
    }

    /// The server names its keys: `string blob` for each. What cannot be used is passed over, and
    /// so is the whole if it is not what a server should send; only the first counts.
    pub(super) fn announced(&mut self, blobs: Reader<'_>) {
        let known = match std::mem::take(&mut self.host_keys.stage) {
            Stage::Awaited(known) => known,
            other => {
                self.host_keys.stage = other;
                return;
            }
        };
        let Ok(mut keys) = distinct(blobs) else { return };
        keys.retain(|key| !known.iter().any(|blob| blob == key.blob()));
        if keys.is_empty() {
            return;
        }
        let mut request = message(GLOBAL_REQUEST);
        request.put_string(PROOF);
        request.put_boolean(true);
        for key in &keys {
            request.put_string(key.blob());
        }
        let number = self.request(Kind::HostKeys, request);
        self.host_keys.stage = Stage::Asked(keys, number);
    }

    /// The answer to the request of this number: `string signature` for each key, if it is a proof.
    /// One that is not complete is none, and no reason to end a session that is sound.
    pub(super) fn proof(&mut self, number: u64, signatures: Option<Reader<'_>>) -> Option<Event> {
        let keys = self.host_keys.answered(number)?;
        let proved = proved(&keys, signatures?, self.keys.session());
        proved.is_ok().then_some(Event::HostKeys(keys))
    }
}

/// Verifies a signature by each of the keys.
fn proved(
    keys: &[PublicKey],
    mut signatures: Reader<'_>,
    session: &[u8],
) -> Result<(), VerifyError> {
    for key in keys {
        let mut signed = Vec::new();
        signed.put_string(PROOF);
        signed.put_string(session);
        signed.put_string(key.blob());
        key.verify_any(&signed, signatures.string()?)?;
    }
    Ok(signatures.end()?)
}

/// The keys that can be used; an error where they are too many, or one comes twice.
fn distinct(mut blobs: Reader<'_>) -> Result<Vec<PublicKey>, Malformed> {
    let mut keys = Vec::new();
    let mut count = 0;
    while blobs.remaining() > 0 {
        count += 1;
        let blob = blobs.string()?;
        if count > MOST_KEYS {
            return Err(Malformed);
        }
        // Of a type that is not known, too small, a certificate.
        let Ok(key) = PublicKey::parse(blob) else { continue };
        if keys.contains(&key) {
            return Err(Malformed);
        }
        keys.push(key);
    }
    Ok(keys)
}
