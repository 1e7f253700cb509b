//! The least that any SSH tunnel costs: one thread that does the system calls and the cryptography
//! of a tunnel's client side, without SSH, for one connection after the other.

mod cipher;
mod packet;
mod peer;
mod relay;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::str::FromStr;
use std::sync::Arc;
use std::thread;

use cipher::{Cipher, Crypt};
use peer::Ring;

use crate::console;
use crate::error::Error;
use crate::options::Options;
use crate::runtime;
use crate::serve::{serve, sink};
use crate::sys;

/// What the relay does with the bytes.
#[derive(Clone, Copy, Debug)]
enum Role {
    /// Plain bytes in, packets out: an upload.
    Seal,
    /// Packets in, plain bytes out: a download.
    Open,
}

impl FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "seal" => Ok(Self::Seal),
            "open" => Ok(Self::Open),
            _ => Err(()),
        }
    }
}

/// How the relay does its work, and where it leads.
#[derive(Clone, Debug)]
struct Relay {
    role: Role,
    cipher: Cipher,
    to: String,
    /// Bytes that have to be there before a read of the bulk returns.
    low_water: Option<u32>,
}

impl Relay {
    /// One connection from its beginning to its end.
    fn run(&self, client: &TcpStream) -> Result<(), Error> {
        let peer = TcpStream::connect(&self.to)?;
        client.set_nodelay(true)?;
        peer.set_nodelay(true)?;
        let mut crypt = Crypt::new(self.cipher)?;
        let bulk = match self.role {
            Role::Seal => client,
            Role::Open => &peer,
        };
        if let Some(bytes) = self.low_water {
            sys::set_low_water(bulk, bytes)?;
        }
        match self.role {
            Role::Seal => relay::seal(client, &peer, &mut crypt),
            Role::Open => relay::open(client, &peer, &mut crypt),
        }
    }
}

/// The command `floor`.
pub(crate) fn run(mut options: Options) -> Result<(), Error> {
    let port: Option<u16> = options.optional("listen")?;
    let relay = Relay {
        role: options.required("role")?,
        cipher: options.required("cipher")?,
        to: options.required("to")?,
        low_water: options.optional("low-water")?,
    };
    options.finish()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0)))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || accept(&listener, &relay));
    runtime::run(async {
        console::say(format_args!(r#"{{"port":{port}}}"#))?;
        console::closed().await;
        Ok(())
    })
}

fn accept(listener: &TcpListener, relay: &Relay) {
    for client in listener.incoming() {
        // A connection that is dropped early is a failure that its client counts.
        if let Err(error) = client.map_err(Error::from).and_then(|client| relay.run(&client)) {
            eprintln!("sshtunnel-load: {error}");
        }
    }
}

/// Which end of the sealed side the peer is.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Reads sealed bytes and only counts them.
    Sink,
    /// Sends packets that were sealed ahead of time.
    Source,
}

impl FromStr for End {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "sink" => Ok(Self::Sink),
            "source" => Ok(Self::Source),
            _ => Err(()),
        }
    }
}

/// The command `floor-peer`.
pub(crate) fn run_peer(mut options: Options) -> Result<(), Error> {
    let end = options.required("role")?;
    let port: Option<u16> = options.optional("listen")?;
    let cipher: Cipher = options.required("cipher")?;
    options.finish()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(0)));
    runtime::run(async {
        let port = match end {
            End::Sink => serve(address, sink)?,
            End::Source => serve_ring(address, cipher)?,
        };
        console::say(format_args!(r#"{{"port":{port}}}"#))?;
        console::closed().await;
        Ok(())
    })
}

fn serve_ring(address: SocketAddr, cipher: Cipher) -> Result<u16, Error> {
    let ring = Arc::new(Ring::new(cipher)?);
    let port = serve(address, move |stream| {
        let ring = Arc::clone(&ring);
        async move { peer::send(stream, &ring).await }
    })?;
    Ok(port)
}
