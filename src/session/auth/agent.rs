//! The connection to an agent that holds the user's keys. What is said over it is in
//! [`ssh_proto::agent`].

use std::borrow::Cow;
use std::io;

use ssh_proto::agent::{self as messages, AnswerError};
#[cfg(unix)]
use tokio::net::UnixStream as Socket;
#[cfg(windows)]
use tokio::net::windows::named_pipe::NamedPipeClient as Socket;

use crate::session::system_code;

/// A connection to an agent.
pub(crate) struct Agent(Socket);

/// Why an agent was of no help.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AgentError {
    /// It could not be reached.
    #[error("connect {0} {1}")]
    Connect(Cow<'static, str>, String),
    /// The connection broke.
    #[error("the connection to it broke: {0}")]
    Broken(Cow<'static, str>),
    /// It closed the connection instead of an answer.
    #[error("it closed the connection")]
    Closed,
    /// Its answer is of no help.
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

impl Agent {
    /// Connects to the socket at `path`.
    #[cfg(unix)]
    pub(crate) async fn connect(path: &str) -> Result<Self, AgentError> {
        let dialed = Socket::connect(path).await;
        dialed.map(Self).map_err(|error| AgentError::Connect(system_code(&error), path.to_owned()))
    }

    /// Connects to the named pipe at `path`, such as `\\\\.\\pipe\\openssh-ssh-agent`. Not tested.
    #[cfg(windows)]
    pub(crate) async fn connect(path: &str) -> Result<Self, AgentError> {
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
    pub(crate) async fn identities(&mut self) -> Result<Vec<Vec<u8>>, AgentError> {
        let answer = self.ask(&messages::request_identities()).await?;
        Ok(messages::identities(&answer)?)
    }

    /// Its signature over `data`, with the name of the signature's algorithm.
    pub(crate) async fn sign(
        &mut self,
        key: &[u8],
        algorithm: &str,
        data: &[u8],
    ) -> Result<Vec<u8>, AgentError> {
        let answer = self.ask(&messages::request_signature(key, algorithm, data)).await?;
        Ok(messages::signature(&answer)?)
    }

    /// Sends a request and reads the answer.
    async fn ask(&mut self, request: &[u8]) -> Result<Vec<u8>, AgentError> {
        self.send(request).await.map_err(|error| AgentError::Broken(system_code(&error)))?;
        let mut field = [0; 4];
        self.receive(&mut field).await?;
        let mut answer = vec![0; messages::answer_length(field)?];
        self.receive(&mut answer).await?;
        Ok(answer)
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

    async fn receive(&self, bytes: &mut [u8]) -> Result<(), AgentError> {
        let broken = |error: io::Error| AgentError::Broken(system_code(&error));
        let mut filled = 0;
        while filled < bytes.len() {
            self.0.readable().await.map_err(broken)?;
            match self.0.try_read(&mut bytes[filled..]) {
                Ok(0) => return Err(AgentError::Closed),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(broken(error)),
            }
        }
        Ok(())
    }
}
