//! A proxy on the way to the first server: HTTP CONNECT or SOCKS 5.
//!
//! The messages are in `http` and `src/socks/client.rs`, which do no I/O. Nothing is read behind the proxy's reply,
//! because the server's first bytes may follow at once: the rest of the session reads them from the
//! same socket.

mod http;

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use crate::session::connect::happy_eyeballs::host_and_port;
use crate::session::{EncryptedSecret, Error, ProxyFault, ProxyRefusal};
use crate::socks::MAX_LENGTH;
use crate::socks::client::{self, Refusal};

/// Bytes of one look at an HTTP response.
const LOOK_SIZE: usize = 1024;

/// A proxy, and the credentials for it.
#[derive(Debug)]
pub struct Proxy {
    /// Protocol of the proxy.
    pub protocol: ProxyProtocol,
    /// Name or address of the proxy.
    pub host: String,
    /// Port of the proxy.
    pub port: u16,
    /// Credentials for the proxy.
    pub login: Option<ProxyLogin>,
}

/// Protocol of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// The method CONNECT (RFC 9110, section 9.3.6).
    Http,
    /// SOCKS 5 (RFC 1928). The proxy resolves names.
    Socks5,
}

/// Credentials for a proxy.
#[derive(Debug)]
pub struct ProxyLogin {
    /// Name of the user.
    pub username: String,
    /// Password of the user.
    pub password: EncryptedSecret,
}

/// A fault, and what to say of it.
type Failure = (ProxyFault, String);

impl Proxy {
    /// Returns why the proxy cannot be asked for this host; `None` if it can.
    pub fn host_fault(&self, host: &str) -> Option<&'static str> {
        match self.protocol {
            ProxyProtocol::Http if !host.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Some("leads to an HTTP proxy, which takes only ASCII names without blanks")
            }
            ProxyProtocol::Socks5 if host.len() > MAX_LENGTH => {
                Some("leads to a SOCKS 5 proxy, which takes names of at most 255 bytes")
            }
            ProxyProtocol::Http | ProxyProtocol::Socks5 => None,
        }
    }

    /// Asks the proxy, to which `stream` leads, for a connection to a server. Afterwards the stream
    /// leads to the server.
    pub(crate) async fn connect(
        &self,
        stream: &mut TcpStream,
        host: &str,
        port: u16,
    ) -> Result<(), Error> {
        let outcome = match self.protocol {
            ProxyProtocol::Http => self.connect_http(stream, host, port).await,
            ProxyProtocol::Socks5 => self.connect_socks5(stream, host, port).await,
        };
        outcome.map_err(|(fault, reason)| {
            let text = format!("proxy {}: {reason}", host_and_port(&self.host, self.port));
            let (host, port) = (self.host.clone(), self.port);
            Error::Proxy(Box::new(ProxyRefusal { host, port, fault, text }))
        })
    }

    async fn connect_http(
        &self,
        stream: &mut TcpStream,
        host: &str,
        port: u16,
    ) -> Result<(), Failure> {
        let address = host_and_port(host, port);
        let password = self.password();
        let login = self.login.as_ref().zip(password.as_deref());
        let login = login.map(|(login, password)| (login.username.as_str(), password.as_slice()));
        stream.write_all(&http::request(&address, login)).await.map_err(broken)?;
        let mut room = http::MAX_HEADS;
        loop {
            let head = read_head(stream, room).await?;
            room -= head.len();
            let status = http::status(&head).ok_or_else(|| not_http(&head))?;
            match status.code {
                200..=299 => return Ok(()),
                // Interim responses precede the final one.
                100 | 102..=199 => {}
                _ => return Err(status.into_failure(&address)),
            }
        }
    }

    async fn connect_socks5(
        &self,
        stream: &mut TcpStream,
        host: &str,
        port: u16,
    ) -> Result<(), Failure> {
        let password = self.password();
        let login = self.login.as_ref().zip(password.as_deref());
        let refused = |refusal| refused(refusal, &host_and_port(host, port));
        stream.write_all(client::greeting(login.is_some())).await.map_err(broken)?;
        let choice = read(stream).await?;
        let wants_login = client::wants_login(choice, login.is_some()).map_err(refused)?;
        if let Some((login, password)) = login.filter(|_| wants_login) {
            let message = client::login(login.username.as_bytes(), password);
            stream.write_all(&message).await.map_err(broken)?;
            client::logged_in(read(stream).await?).map_err(refused)?;
        }
        stream.write_all(&client::request(host, port)).await.map_err(broken)?;
        client::granted(read(stream).await?).map_err(refused)?;
        // The address that the proxy connects from.
        let length = client::rest_of_reply(read(stream).await?).map_err(refused)?;
        stream.read_exact(&mut vec![0; length]).await.map_err(broken)?;
        Ok(())
    }

    fn password(&self) -> Option<Zeroizing<Vec<u8>>> {
        self.login.as_ref().map(|login| login.password.open())
    }
}

/// Reads a part of a message.
async fn read<const SIZE: usize>(stream: &mut TcpStream) -> Result<[u8; SIZE], Failure> {
    let mut bytes = [0; SIZE];
    stream.read_exact(&mut bytes).await.map_err(broken)?;
    Ok(bytes)
}

/// Reads the head of an HTTP response of at most `max` bytes, and nothing behind it.
async fn read_head(stream: &mut TcpStream, max: usize) -> Result<Vec<u8>, Failure> {
    let mut head = Vec::new();
    let mut look = [0; LOOK_SIZE];
    loop {
        let count = stream.peek(&mut look).await.map_err(broken)?;
        if count == 0 {
            return Err(broken(io::ErrorKind::UnexpectedEof.into()));
        }
        let before = head.len();
        head.extend_from_slice(&look[..count]);
        let end = http::head_length(&head).map_err(|()| not_http(&head))?;
        head.truncate(end.unwrap_or(head.len()));
        if head.len() > max {
            let text = format!("the head of its response is longer than {} bytes", http::MAX_HEADS);
            return Err((ProxyFault::Invalid, text));
        }
        stream.read_exact(&mut look[..head.len() - before]).await.map_err(broken)?;
        if end.is_some() {
            return Ok(head);
        }
    }
}

fn refused(refusal: Refusal, address: &str) -> Failure {
    let fault = match refusal {
        Refusal::NoLogin | Refusal::NoMethod | Refusal::Login => ProxyFault::Login,
        Refusal::Reply(code) => {
            let text = format!("it could not connect to {address}: {refusal}");
            return (ProxyFault::Reply(code), text);
        }
        Refusal::OtherMethod(_) | Refusal::Garbled(_) | Refusal::AddressType(_) => {
            ProxyFault::Invalid
        }
    };
    (fault, refusal.to_string())
}

fn not_http(head: &[u8]) -> Failure {
    let text = format!("its reply is not that of an HTTP proxy: \"{}\"", http::shown(head));
    (ProxyFault::Invalid, text)
}

// By value for `map_err`.
#[allow(clippy::needless_pass_by_value)]
fn broken(error: io::Error) -> Failure {
    let text = match error.kind() {
        io::ErrorKind::UnexpectedEof => "it closed the connection before it replied".to_owned(),
        _ => format!("the connection to it broke: {error}"),
    };
    (ProxyFault::Closed, text)
}

#[cfg(test)]
mod tests;
