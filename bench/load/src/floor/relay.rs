//! The client side of a tunnel without SSH: its system calls and its cryptography, no more.

use std::array;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::Range;

use super::cipher::Crypt;
use super::packet::{HEAD, LENGTH, PAYLOAD, SLOT, SLOTS, TAG, frame, payload};
use crate::error::Error;
use crate::stream::BLOCK;

/// Upload. Reads straight into packets at their final places, seals them there, sends all of them
/// at once. The peer has to confirm every sealed byte before the client is told its own count.
pub(super) fn seal(
    mut client: &TcpStream,
    mut peer: &TcpStream,
    crypt: &mut Crypt,
) -> Result<(), Error> {
    let mut buffer = vec![0; SLOTS * SLOT];
    let (mut plain, mut sealed) = (0_u64, 0_u64);
    loop {
        let mut slots = buffer.chunks_exact_mut(SLOT);
        let mut room: [IoSliceMut<'_>; SLOTS] = array::from_fn(|_| {
            IoSliceMut::new(slots.next().map_or(&mut [], |slot| &mut slot[HEAD..][..PAYLOAD]))
        });
        let mut left = client.read_vectored(&mut room)?;
        if left == 0 {
            break;
        }
        plain += left as u64;
        let mut end = 0;
        while left > 0 {
            let payload = left.min(PAYLOAD);
            let packet = &mut buffer[end..];
            let size = frame(packet, payload);
            crypt.seal(&mut packet[..size])?;
            end += size;
            left -= payload;
        }
        peer.write_all(&buffer[..end])?;
        sealed += end as u64;
    }
    peer.shutdown(Shutdown::Write)?;
    let mut counted = [0; 8];
    peer.read_exact(&mut counted)?;
    let counted = u64::from_be_bytes(counted);
    if counted != sealed {
        return Err(Error::Count { sent: sealed, counted });
    }
    Ok(client.write_all(&plain.to_be_bytes())?)
}

/// Download. Reads a block, opens every packet in it where it is, and writes all payloads at once.
pub(super) fn open(
    mut client: &TcpStream,
    mut peer: &TcpStream,
    crypt: &mut Crypt,
) -> Result<(), Error> {
    let mut request = [0; 8];
    client.read_exact(&mut request)?;
    peer.write_all(&request)?;
    // Room for a block behind a packet that is not whole yet.
    let mut buffer = vec![0; BLOCK + SLOT];
    let mut payloads = Vec::new();
    let mut filled = 0;
    loop {
        match peer.read(&mut buffer[filled..][..BLOCK])? {
            0 if filled == 0 => return Ok(client.shutdown(Shutdown::Write)?),
            0 => return Err(Error::Sealed),
            more => filled += more,
        }
        let opened = open_all(&mut buffer[..filled], crypt, &mut payloads)?;
        let mut slices: Vec<_> =
            payloads.iter().map(|range| IoSlice::new(&buffer[range.clone()])).collect();
        write_all(client, &mut slices)?;
        buffer.copy_within(opened..filled, 0);
        filled -= opened;
    }
}

/// Opens the packets that are whole; returns where the last of them ends.
fn open_all(
    bytes: &mut [u8],
    crypt: &mut Crypt,
    payloads: &mut Vec<Range<usize>>,
) -> Result<usize, Error> {
    payloads.clear();
    let mut at = 0;
    while let Some(&field) = bytes[at..].first_chunk::<LENGTH>() {
        let size = LENGTH + crypt.length(field) as usize + TAG;
        if size > SLOT {
            return Err(Error::Sealed);
        }
        let Some(packet) = bytes.get_mut(at..at + size) else { break };
        crypt.open(packet)?;
        let length = payload(packet).ok_or(Error::Sealed)?;
        payloads.push(at + HEAD..at + HEAD + length);
        at += size;
    }
    Ok(at)
}

fn write_all(mut stream: &TcpStream, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !slices.is_empty() {
        match stream.write_vectored(slices)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => IoSlice::advance_slices(&mut slices, written),
        }
    }
    Ok(())
}
