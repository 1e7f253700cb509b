//! Every cipher with every MAC.

use aws_lc_rs::cipher::{AES_192, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;

use super::*;
use crate::transport::{Compression, Direction, Inbound, Outbound, Secrets};

fn pair(protection: Protection) -> (Sealer, Opener) {
    let secrets = Secrets::for_tests();
    let direction = Direction::ToServer;
    (protection.sealer(&secrets, direction), protection.opener(&secrets, direction))
}

/// Returns a packet of about 48 bytes, with room for its tag.
fn packet(layout: Layout) -> Vec<u8> {
    let length = 48 - layout.aligned_length;
    let mut packet = (length as u32).to_be_bytes().to_vec();
    packet.extend(vec![7; length]);
    packet.extend(vec![0; layout.tag]);
    packet
}

/// Every protection, with its names.
fn each(test: impl Fn(&str, Protection)) {
    for (cipher, mac, protection) in Protection::all() {
        test(&format!("{cipher} {mac}"), protection);
    }
}

#[test]
fn every_cipher_and_mac_is_listed() {
    assert_eq!(Protection::all().len(), 3 + 3 * 4);
    let longest = Protection::all().into_iter().map(|(.., suite)| pair(suite).0.layout().tag).max();
    assert_eq!(longest, Some(MAX_TAG));
}

#[test]
fn sealed_packets_open_once_and_in_order() {
    each(|name, protection| {
        let (mut sealer, mut opener) = pair(protection);
        let plain = packet(sealer.layout());
        for sequence in [0, 1, 2] {
            let mut bytes = plain.clone();
            sealer.seal(sequence, &mut bytes);
            let end = bytes.len() - sealer.layout().tag;
            assert!(bytes[LENGTH..end].windows(4).all(|part| part != [7; 4]), "{name} hides it");
            let field = bytes[..LENGTH].try_into().expect("four bytes");
            // Any number of times: nothing advances before the whole packet is received.
            for _ in 0..3 {
                let expected = (end - LENGTH) as u32;
                assert_eq!(opener.length(sequence, field), expected, "{name}");
            }
            opener.open(sequence, &mut bytes).expect(name);
            assert_eq!(bytes[LENGTH..end], plain[LENGTH..end], "{name}");
        }
    });
}

#[test]
fn a_changed_bit_anywhere_is_noticed() {
    each(|name, protection| {
        let size = packet(pair(protection).0.layout()).len();
        for at in 0..size {
            let (mut sealer, mut opener) = pair(protection);
            let mut bytes = packet(sealer.layout());
            sealer.seal(0, &mut bytes);
            bytes[at] ^= 1 << (at % 8);
            assert_eq!(opener.open(0, &mut bytes), Err(Error::Integrity), "{name} at {at}");
        }
    });
}

#[test]
fn a_packet_out_of_order_is_noticed() {
    each(|name, protection| {
        let (mut sealer, mut opener) = pair(protection);
        let mut first = packet(sealer.layout());
        sealer.seal(0, &mut first);
        let mut second = packet(sealer.layout());
        sealer.seal(1, &mut second);
        assert_eq!(opener.open(0, &mut second), Err(Error::Integrity), "{name}");

        // At its place, but with another number, as after removed packets.
        let (mut sealer, mut opener) = pair(protection);
        let mut packet = packet(sealer.layout());
        sealer.seal(5, &mut packet);
        let numbered = !matches!(opener, Opener::Gcm(_));
        assert_eq!(opener.open(4, &mut packet).is_err(), numbered, "{name}");
    });
}

#[test]
fn each_direction_has_its_own_keys() {
    let secrets = Secrets::for_tests();
    each(|name, protection| {
        let sealed = |direction| {
            let mut sealer = protection.sealer(&secrets, direction);
            let mut bytes = packet(sealer.layout());
            sealer.seal(0, &mut bytes);
            let end = bytes.len() - sealer.layout().tag;
            (bytes[LENGTH..end].to_vec(), bytes[end..].to_vec())
        };
        let (up, down) = (sealed(Direction::ToServer), sealed(Direction::ToClient));
        assert!(up.0 != down.0 && up.1 != down.1, "{name}");
    });
}

/// RFC 4344 section 4 and RFC 4253 section 6.4, computed independently: sealer and opener could
/// share a mistake. The counter crosses the boundaries of its lower 32, 64 and 128 bits.
#[test]
fn counter_mode_follows_the_rfcs() {
    let secrets = Secrets::for_tests();
    let direction = Direction::ToServer;
    for start in [0xffff_fffe_u128, u128::from(u64::MAX) - 1, u128::MAX - 1, u128::MAX] {
        for (mac, covers_ciphertext) in
            [("hmac-sha2-512", false), ("hmac-sha2-512-etm@openssh.com", true)]
        {
            let (mut sealer, _) = pair(Protection::named("aes192-ctr", mac));
            let Sealer::Ctr(ctr) = &mut sealer else { panic!("a counter mode") };
            ctr.start_at(start);
            let plain = packet(sealer.layout());
            let end = plain.len() - 64;
            let hidden = if covers_ciphertext { LENGTH } else { 0 };
            let mut block = start;
            for sequence in [9_u32, 10] {
                let mut bytes = plain.clone();
                sealer.seal(sequence, &mut bytes);
                let mut expected = plain[..end].to_vec();
                for part in expected[hidden..].chunks_mut(16) {
                    let key = secrets.key(direction, 24);
                    let key = UnboundCipherKey::new(&AES_192, &key).expect("fits");
                    let key = EncryptingKey::ecb(key).expect("a key");
                    let mut stream = block.to_be_bytes();
                    key.less_safe_encrypt(&mut stream, EncryptionContext::None).expect("a block");
                    part.iter_mut().zip(stream).for_each(|(byte, mask)| *byte ^= mask);
                    block = block.wrapping_add(1);
                }
                let covered = if covers_ciphertext { &expected } else { &plain[..end] };
                let key = hmac::Key::new(hmac::HMAC_SHA512, &secrets.integrity_key(direction, 64));
                let tag = hmac::sign(&key, &[&sequence.to_be_bytes()[..], covered].concat());
                assert_eq!(bytes[..end], expected, "{mac} from {start:x}");
                assert_eq!(&bytes[end..], tag.as_ref(), "{mac} from {start:x}");
            }
        }
    }
}

/// Both buffers with the same keys.
fn buffers(protection: Protection) -> (Outbound, Inbound) {
    let (sealer, opener) = pair(protection);
    let (mut outbound, mut inbound) = (Outbound::new(), Inbound::new());
    outbound.rekey(sealer, Compression::None, true);
    inbound.rekey(opener, Compression::None, true);
    (outbound, inbound)
}

fn receive(inbound: &mut Inbound, bytes: &[u8]) {
    inbound.space()[..bytes.len()].copy_from_slice(bytes);
    inbound.filled(bytes.len());
}

#[test]
fn packets_open_wherever_the_stream_is_cut() {
    let payloads = [vec![1; 1], vec![2; 11], vec![3; 12], vec![4; 300], vec![5; 17]];
    each(|name, protection| {
        let (mut outbound, _) = buffers(protection);
        for payload in &payloads {
            outbound.packet(payload);
        }
        let stream = outbound.pending();
        for cut in 0..stream.len() {
            let (_, mut inbound) = buffers(protection);
            let mut seen = Vec::new();
            for part in [&stream[..cut], &stream[cut..]] {
                receive(&mut inbound, part);
                while let Some(range) = inbound.packet().expect(name) {
                    seen.push(inbound.bytes(range).to_vec());
                }
            }
            assert_eq!(seen, payloads, "{name} cut at {cut}");
        }
        let (_, mut inbound) = buffers(protection);
        let mut seen = Vec::new();
        for byte in stream {
            receive(&mut inbound, &[*byte]);
            while let Some(range) = inbound.packet().expect(name) {
                seen.push(inbound.bytes(range).to_vec());
            }
        }
        assert_eq!(seen, payloads, "{name} byte by byte");
    });
}

/// The longest packets in a row, with the longest tags: the buffer has room for them.
#[test]
fn long_packets_fit() {
    each(|name, protection| {
        let (mut outbound, mut inbound) = buffers(protection);
        let payload = vec![6; 256 * 1024 - 32];
        for _ in 0..20 {
            outbound.packet(&payload);
        }
        let mut count = 0;
        while !outbound.pending().is_empty() {
            let space = inbound.space();
            let most = space.len().min(outbound.pending().len());
            assert!(most > 0, "{name}");
            space[..most].copy_from_slice(&outbound.pending()[..most]);
            inbound.filled(most);
            outbound.sent(most);
            while let Some(range) = inbound.packet().expect(name) {
                assert_eq!(inbound.bytes(range), payload, "{name}");
                count += 1;
            }
        }
        assert_eq!(count, 20, "{name}");
    });
}

/// Returns the first four bytes with another length. An encrypted length can be changed too: the
/// ciphers are stream ciphers.
fn forged(outbound: &Outbound, protection: Protection, length: usize) -> [u8; LENGTH] {
    let (_, opener) = pair(protection);
    let field: [u8; LENGTH] = outbound.pending()[..LENGTH].try_into().expect("four bytes");
    let change = opener.length(0, field) ^ length as u32;
    let field = (u32::from_be_bytes(field) ^ change).to_be_bytes();
    assert_eq!(opener.length(0, field), length as u32);
    field
}

/// An invalid length is refused as soon as its four bytes are received; after a valid one the
/// packet is refused when it is complete.
#[test]
fn invalid_lengths_are_refused_at_once() {
    each(|name, protection| {
        let Layout { block, aligned_length, .. } = pair(protection).0.layout();
        let bad = [0, 1, 5, 6, 47, 49, 256 * 1024 + block, 0x7fff_ffff, 0xffff_fff0, 0xffff_ffff];
        for length in bad.into_iter().chain([(48 - aligned_length) ^ 4]) {
            let (mut outbound, mut inbound) = buffers(protection);
            outbound.packet(&[9; 30]);
            receive(&mut inbound, &forged(&outbound, protection, length));
            assert!(matches!(inbound.packet(), Err(Error::Protocol(_))), "{name}: {length}");
        }
        for length in [48 - aligned_length, 256 * 1024 - aligned_length] {
            let (mut outbound, mut inbound) = buffers(protection);
            outbound.packet(&[9; 100]);
            receive(&mut inbound, &forged(&outbound, protection, length));
            assert_eq!(inbound.packet(), Ok(None), "{name}");
            receive(&mut inbound, &outbound.pending()[LENGTH..]);
            for _ in 0..2 {
                receive(&mut inbound, &[0; 140_000]);
            }
            assert_eq!(inbound.packet(), Err(Error::Integrity), "{name}: {length}");
        }
    });
}
