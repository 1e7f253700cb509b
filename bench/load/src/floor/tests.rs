//! The relays between a client and the other end, over sockets.

use std::io::{Read, Write};
use std::net::Shutdown;

use super::*;
use crate::floor::packet::{LENGTH, PAYLOAD, SLOTS, TAG};

const CIPHERS: [Cipher; 3] = [Cipher::Aes256Gcm, Cipher::Aes128Gcm, Cipher::ChaCha20];

/// More than a turn, more than the ring, and a rest.
const LENGTHS: [usize; 4] = [1, PAYLOAD, SLOTS * PAYLOAD + 1, 70 * PAYLOAD + 777];

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 3) as u8).collect()
}

/// Opens packet by packet, apart from the relay's own way.
fn open_slowly(cipher: Cipher, mut sealed: &[u8]) -> Vec<u8> {
    let mut crypt = Crypt::new(cipher).unwrap();
    let mut plain = Vec::new();
    while let Some(&field) = sealed.first_chunk() {
        let size = LENGTH + crypt.length(field) as usize + TAG;
        let mut packet = sealed[..size].to_vec();
        crypt.open(&mut packet).unwrap();
        let length = packet::payload(&packet).unwrap();
        plain.extend_from_slice(&packet[packet::HEAD..][..length]);
        sealed = &sealed[size..];
    }
    plain
}

#[test]
fn an_upload_arrives_sealed_and_is_confirmed() {
    for cipher in CIPHERS {
        for length in LENGTHS {
            let ((mut client, client_end), (peer_end, mut peer)) = (pair(), pair());
            let relay = thread::spawn(move || {
                relay::seal(&client_end, &peer_end, &mut Crypt::new(cipher).unwrap())
            });
            let server = thread::spawn(move || {
                let mut sealed = Vec::new();
                peer.read_to_end(&mut sealed).unwrap();
                peer.write_all(&(sealed.len() as u64).to_be_bytes()).unwrap();
                sealed
            });
            client.write_all(&content(length)).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            let mut counted = Vec::new();
            client.read_to_end(&mut counted).unwrap();
            relay.join().unwrap().unwrap();
            assert_eq!(counted, (length as u64).to_be_bytes());
            assert!(open_slowly(cipher, &server.join().unwrap()) == content(length));
        }
    }
}

#[test]
fn an_upload_with_a_wrong_confirmation_is_none() {
    let ((client, client_end), (peer_end, mut peer)) = (pair(), pair());
    client.shutdown(Shutdown::Write).unwrap();
    peer.write_all(&1_u64.to_be_bytes()).unwrap();
    let end = relay::seal(&client_end, &peer_end, &mut Crypt::new(Cipher::Aes128Gcm).unwrap());
    assert!(matches!(end, Err(Error::Count { sent: 0, counted: 1 })));
}

#[test]
fn a_download_arrives_open_and_ends() {
    for cipher in CIPHERS {
        for length in LENGTHS {
            let ((mut client, client_end), (peer_end, peer)) = (pair(), pair());
            let relay = thread::spawn(move || {
                relay::open(&client_end, &peer_end, &mut Crypt::new(cipher).unwrap())
            });
            let server = thread::spawn(move || {
                peer.set_nonblocking(true).unwrap();
                runtime::run(async {
                    let stream = tokio::net::TcpStream::from_std(peer)?;
                    Ok(peer::send(stream, &Ring::new(cipher)?).await?)
                })
            });
            client.write_all(&(length as u64).to_be_bytes()).unwrap();
            let mut plain = Vec::new();
            client.read_to_end(&mut plain).unwrap();
            relay.join().unwrap().unwrap();
            server.join().unwrap().unwrap();
            assert_eq!(plain.len(), length);
            let payload = crate::stream::bytes(PAYLOAD);
            assert!(plain.chunks(PAYLOAD).all(|chunk| chunk == &payload[..chunk.len()]));
        }
    }
}

#[test]
fn a_download_that_ends_within_a_packet_is_an_error() {
    let ((mut client, client_end), (peer_end, mut peer)) = (pair(), pair());
    client.write_all(&1_u64.to_be_bytes()).unwrap();
    peer.write_all(&[0, 0, 0, 32, 1]).unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let end = relay::open(&client_end, &peer_end, &mut Crypt::new(Cipher::Aes128Gcm).unwrap());
    assert!(matches!(end, Err(Error::Sealed)));
}
