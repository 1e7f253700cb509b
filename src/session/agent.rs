//! The agent that holds the user's keys, as OpenSSH's speaks (draft-miller-ssh-agent).
//!
//! Two requests are all that logging on takes. What the agent lists and signs is passed on as it
//! is: a key of a type that we have never heard of spoils nothing.

use std::borrow::Cow;
use std::io;

#[cfg(unix)]
use tokio::net::UnixStream as Socket;
#[cfg(windows)]
use tokio::net::windows::named_pipe::NamedPipeClient as Socket;

use super::system_code;

/// Message numbers, and the bits that choose the digest of an RSA signature.
const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;

/// The longest answer that is read, in bytes, and the most keys in one: as in OpenSSH.
const MOST_ANSWER: usize = 256 * 1024;
const MOST_KEYS: u32 = 2048;

/// A connection to an agent.
pub(super) struct Agent(Socket);

/// Why an agent was of no help.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AgentError {
    /// It could not be reached.
    #[error("connect {0} {1}")]
    Connect(Cow<'static, str>, String),
    /// The connection broke.
    #[error("the connection to it broke: {0}")]
    Broken(Cow<'static, str>),
    /// It closed the connection instead of an answer.
    #[error("it closed the connection")]
    Closed,
    /// Its answer claims to be longer than any is.
    #[error("it announced an answer of {0} bytes")]
    TooLong(usize),
    /// Its answer does not hold what it should.
    #[error("its answer is malformed")]
    Malformed,
    /// It says that it failed: it is locked, or its user said no.
    #[error("it refused")]
    Refused,
}

impl Agent {
    /// Connects to the socket at `path`.
    #[cfg(unix)]
    pub(super) async fn connect(path: &str) -> Result<Self, AgentError> {
        let dialed = Socket::connect(path).await;
        dialed.map(Self).map_err(|error| AgentError::Connect(system_code(&error), path.to_owned()))
    }

    /// Connects to the named pipe at `path`, such as `\\\\.\\pipe\\openssh-ssh-agent`. Not tested.
    #[cfg(windows)]
    pub(super) async fn connect(path: &str) -> Result<Self, AgentError> {
        /// Every instance of the pipe serves somebody else just now.
        const ERROR_PIPE_BUSY: i32 = 231;
        const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);
        loop {
            match tokio::net::windows::named_pipe::ClientOptions::new().open(path) {
                Ok(pipe) => return Ok(Self(pipe)),
                Err(error) if error.raw_os_error() == Some(ERROR_PIPE_BUSY) => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => {
                    return Err(AgentError::Connect(system_code(&error), path.to_owned()));
                }
            }
        }
    }

    /// The public keys and certificates that it holds.
    pub(super) async fn identities(&mut self) -> Result<Vec<Vec<u8>>, AgentError> {
        identities(&self.ask(vec![REQUEST_IDENTITIES]).await?)
    }

    /// Its signature over `data`, with the name of the signature's algorithm.
    pub(super) async fn sign(
        &mut self,
        key: &[u8],
        algorithm: &str,
        data: &[u8],
    ) -> Result<Vec<u8>, AgentError> {
        let flags = if algorithm.starts_with("rsa-sha2-512") {
            RSA_SHA2_512
        } else if algorithm.starts_with("rsa-sha2-256") {
            RSA_SHA2_256
        } else {
            0
        };
        let mut request = vec![SIGN_REQUEST];
        put_string(&mut request, key);
        put_string(&mut request, data);
        request.extend_from_slice(&flags.to_be_bytes());
        signature(&self.ask(request).await?)
    }

    /// Sends a request and reads the answer: each is a `string`.
    async fn ask(&mut self, request: Vec<u8>) -> Result<Vec<u8>, AgentError> {
        let mut message = Vec::with_capacity(4 + request.len());
        put_string(&mut message, &request);
        self.send(&message).await.map_err(|error| AgentError::Broken(system_code(&error)))?;
        let header = self.receive(4).await?;
        let length = string_length(&header)?;
        self.receive(length).await
    }

    async fn send(&self, mut message: &[u8]) -> io::Result<()> {
        while !message.is_empty() {
            self.0.writable().await?;
            match self.0.try_write(message) {
                Ok(count) => message = &message[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn receive(&self, length: usize) -> Result<Vec<u8>, AgentError> {
        let broken = |error: io::Error| AgentError::Broken(system_code(&error));
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            self.0.readable().await.map_err(broken)?;
            match self.0.try_read(&mut bytes[filled..]) {
                Ok(0) => return Err(AgentError::Closed),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(broken(error)),
            }
        }
        Ok(bytes)
    }
}

/// How long the answer is that begins with `header`.
fn string_length(mut header: &[u8]) -> Result<usize, AgentError> {
    match take_number(&mut header)? as usize {
        0 => Err(AgentError::Malformed),
        length if length > MOST_ANSWER => Err(AgentError::TooLong(length)),
        length => Ok(length),
    }
}

/// SSH_AGENT_IDENTITIES_ANSWER: `uint32` number of keys, then for each `string key, string comment`.
fn identities(answer: &[u8]) -> Result<Vec<Vec<u8>>, AgentError> {
    let mut rest = expect(answer, IDENTITIES_ANSWER)?;
    let count = take_number(&mut rest)?;
    if count > MOST_KEYS {
        return Err(AgentError::Malformed);
    }
    (0..count)
        .map(|_| {
            let key = take_string(&mut rest)?.to_vec();
            take_string(&mut rest)?;
            Ok(key)
        })
        .collect()
}

/// SSH_AGENT_SIGN_RESPONSE: `string signature`.
fn signature(answer: &[u8]) -> Result<Vec<u8>, AgentError> {
    let mut rest = expect(answer, SIGN_RESPONSE)?;
    take_string(&mut rest).map(<[u8]>::to_vec)
}

fn expect(answer: &[u8], number: u8) -> Result<&[u8], AgentError> {
    match answer.split_first() {
        Some((got, rest)) if *got == number => Ok(rest),
        Some((&FAILURE, _)) => Err(AgentError::Refused),
        _ => Err(AgentError::Malformed),
    }
}

fn take_number(rest: &mut &[u8]) -> Result<u32, AgentError> {
    let (number, after) = rest.split_first_chunk().ok_or(AgentError::Malformed)?;
    *rest = after;
    Ok(u32::from_be_bytes(*number))
}

fn take_string<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], AgentError> {
    let length = take_number(rest)? as usize;
    let (string, after) = rest.split_at_checked(length).ok_or(AgentError::Malformed)?;
    *rest = after;
    Ok(string)
}

fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("keys and requests are far below 4 GiB");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u8, parts: &[&[u8]]) -> Vec<u8> {
        let mut message = vec![number];
        for part in parts {
            message.extend_from_slice(part);
        }
        message
    }

    #[test]
    fn keys_come_without_their_comments() {
        let list = message(
            IDENTITIES_ANSWER,
            &[b"\0\0\0\x02", b"\0\0\0\x01k\0\0\0\x01c", b"\0\0\0\0\0\0\0\0"],
        );
        assert_eq!(identities(&list), Ok(vec![b"k".to_vec(), Vec::new()]));
        for length in 0..list.len() {
            assert_eq!(identities(&list[..length]), Err(AgentError::Malformed), "{length}");
        }
        assert_eq!(identities(&[IDENTITIES_ANSWER, 0, 0, 0, 0]), Ok(Vec::new()));
    }

    #[test]
    fn lengths_are_not_believed() {
        for claim in [b"\xff\xff\xff\xff", b"\0\0\x08\x01"] {
            let list = message(IDENTITIES_ANSWER, &[claim, &[0; 64]]);
            assert_eq!(identities(&list), Err(AgentError::Malformed));
        }
        let signed = message(SIGN_RESPONSE, &[b"\xff\xff\xff\xff", &[0; 64]]);
        assert_eq!(signature(&signed), Err(AgentError::Malformed));
        assert_eq!(string_length(&[0xff; 4]), Err(AgentError::TooLong(0xffff_ffff)));
        assert_eq!(string_length(&[0, 4, 0, 1]), Err(AgentError::TooLong(MOST_ANSWER + 1)));
        assert_eq!(string_length(&[0, 4, 0, 0]), Ok(MOST_ANSWER));
        assert_eq!(string_length(&[0; 4]), Err(AgentError::Malformed));
    }

    #[test]
    fn a_refusal_is_told_from_an_answer_to_something_else() {
        assert_eq!(signature(&[FAILURE]), Err(AgentError::Refused));
        assert_eq!(identities(&[FAILURE]), Err(AgentError::Refused));
        assert_eq!(signature(&[IDENTITIES_ANSWER, 0, 0, 0, 0]), Err(AgentError::Malformed));
        assert_eq!(signature(&message(SIGN_RESPONSE, &[b"\0\0\0\x01s"])), Ok(b"s".to_vec()));
    }
}
