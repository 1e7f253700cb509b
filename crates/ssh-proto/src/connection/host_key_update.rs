//! The other host keys of a server (OpenSSH's PROTOCOL, section 2.5): it announces them once the
//! user is authenticated, and proves that it owns the new ones.

use super::global_request::{GlobalRequests, Kind};
use crate::key::{PublicKey, VerifyError};
use crate::message::GLOBAL_REQUEST;
use crate::wire::{Malformed, Reader, Writer, message};

/// The server's request that announces its keys.
pub(crate) const ANNOUNCEMENT: &[u8] = b"hostkeys-00@openssh.com";
/// Our request for proofs; also part of what the server signs.
const PROOF: &[u8] = b"hostkeys-prove-00@openssh.com";
/// Keys that a server may announce. OpenSSH has three; each costs a verification.
const MAX_KEYS: usize = 16;

/// The host keys of a server beside those that were known.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct HostKeys {
    /// New keys: the server has proved that it owns them.
    pub proved: Vec<PublicKey>,
    /// The blobs of all keys that the server announces, and of the one that it uses. Known keys that
    /// are not among them are not the server's any more.
    pub announced: Vec<Vec<u8>>,
}

/// The state of the update.
#[derive(Debug, Default)]
pub(crate) enum HostKeyUpdate {
    /// The application has not asked for it, or it is over.
    #[default]
    Inactive,
    /// The announcement is awaited; the blobs of the known keys, first of the one in use.
    Awaited(Vec<Vec<u8>>),
    /// The proofs for these keys are awaited, in the reply to the request of this number.
    Requested(HostKeys, u64),
}

impl HostKeyUpdate {
    /// Handles the server's announcement: `string blob` for each key. Queues a request for proofs if
    /// there are new ones; otherwise returns the keys if some of the known ones are missing. Keys that
    /// cannot be used are ignored, and so is a malformed announcement; only the first one counts.
    pub(crate) fn announced(
        &mut self,
        blobs: Reader<'_>,
        requests: &mut GlobalRequests,
    ) -> Option<HostKeys> {
        let HostKeyUpdate::Awaited(known) = self else { return None };
        let known = std::mem::take(known);
        *self = HostKeyUpdate::Inactive;
        let (mut keys, mut announced) = distinct(blobs).ok()?;
        announced.extend(known.first().cloned());
        keys.retain(|key| !known.iter().any(|blob| blob == key.blob()));
        if keys.is_empty() {
            let is_missing = known.iter().any(|blob| !announced.contains(blob));
            return is_missing.then_some(HostKeys { proved: keys, announced });
        }
        let mut request = message(GLOBAL_REQUEST);
        request.put_string(PROOF);
        request.put_boolean(true);
        for key in &keys {
            request.put_string(key.blob());
        }
        let number = requests.push(Kind::HostKeys, request);
        *self = HostKeyUpdate::Requested(HostKeys { proved: keys, announced }, number);
        None
    }

    /// Handles the reply to the request of this number: `string signature` for each key, if it is a
    /// success. Returns the keys if all of them are proved. A proof that fails does not end the
    /// session.
    pub(crate) fn replied(
        &mut self,
        number: u64,
        signatures: Option<Reader<'_>>,
        session: &[u8],
    ) -> Option<HostKeys> {
        let keys = match self {
            HostKeyUpdate::Requested(keys, own) if *own == number => std::mem::take(keys),
            HostKeyUpdate::Requested(..) | HostKeyUpdate::Inactive | HostKeyUpdate::Awaited(_) => {
                return None;
            }
        };
        *self = HostKeyUpdate::Inactive;
        verify(&keys.proved, signatures?, session).is_ok().then_some(keys)
    }
}

/// Verifies a signature of each key.
fn verify(
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

/// Returns the keys that can be used, and the blobs of all; fails if there are too many, or one comes
/// twice.
fn distinct(mut blobs: Reader<'_>) -> Result<(Vec<PublicKey>, Vec<Vec<u8>>), Malformed> {
    let (mut keys, mut all) = (Vec::new(), Vec::new());
    let mut count = 0;
    while blobs.remaining() > 0 {
        count += 1;
        let blob = blobs.string()?;
        if count > MAX_KEYS {
            return Err(Malformed);
        }
        all.push(blob.to_vec());
        // An unknown type, a key that is too small, or a certificate.
        let Ok(key) = PublicKey::parse(blob) else { continue };
        if keys.contains(&key) {
            return Err(Malformed);
        }
        keys.push(key);
    }
    Ok((keys, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_are_bounded() {
        let blobs = |count| {
            let mut blobs = Vec::new();
            for _ in 0..count {
                blobs.put_string(b"\0\0\0\x07unknown");
            }
            blobs
        };
        assert_eq!(distinct(Reader::new(&blobs(MAX_KEYS))).map(|(keys, _)| keys), Ok(vec![]));
        assert_eq!(distinct(Reader::new(&blobs(MAX_KEYS + 1))), Err(Malformed));
    }
}
