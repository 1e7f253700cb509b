//! A TCP connection to the SSH server.

use std::io;

use tokio::net::{TcpStream, lookup_host};

use super::Error;
use super::error::{lookup_code, system_code};

/// Connects to the first of the host's addresses that answers.
pub(super) async fn dial(host: &str, port: u16) -> Result<TcpStream, Error> {
    let place =
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let addresses = lookup_host((host, port)).await.map_err(|error| Error::Dial {
        syscall: "getaddrinfo",
        code: lookup_code(&error),
        errno: None,
        address: host.to_owned(),
    })?;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Several packets go out in one write already; what is written is meant to leave.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(Error::Dial {
        syscall: "connect",
        code: system_code(&last),
        errno: last.raw_os_error(),
        address: place,
    })
}
