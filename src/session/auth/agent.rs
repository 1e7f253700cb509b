//! Connection to an ssh-agent. Its messages are in [`ssh_proto::agent`].

use std::borrow::Cow;
use std::io;

use ssh_proto::agent::{self as messages, AnswerError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
#[cfg(unix)]
use tokio::net::UnixStream as Socket;
#[cfg(windows)]
use tokio::net::windows::named_pipe::NamedPipeClient as Socket;

use crate::net::error_code::system_code;
#[cfg(windows)]
use crate::net::sys;

/// A connection to an agent.
pub(crate) struct Agent(Socket);

/// Why a request to an agent failed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AgentError {
    /// It could not be reached.
    #[error("connect {0} {1}")]
    Connect(Cow<'static, str>, String),
    /// The connection broke.
    #[error("the connection to it broke: {0}")]
    Broken(Cow<'static, str>),
    /// It closed the connection without a reply.
    #[error("it closed the connection")]
    Closed,
    /// Its reply is not usable.
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

    /// Connects to the named pipe at `path`, such as `\\\\.\\pipe\\openssh-ssh-agent`, or to
    /// `pageant`. Not tested.
    #[cfg(windows)]
    pub(crate) async fn connect(path: &str) -> Result<Self, AgentError> {
        /// Every instance of the pipe serves another client.
        const ERROR_PIPE_BUSY: i32 = 231;
        const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);
        let failed = |error: &io::Error| AgentError::Connect(system_code(error), path.to_owned());
        let pipe = match path {
            "pageant" => sys::pageant_pipe().map_err(|error| failed(&error))?.into(),
            path => Cow::Borrowed(path),
        };
        loop {
            match tokio::net::windows::named_pipe::ClientOptions::new().open(&*pipe) {
                Ok(pipe) => return Ok(Self(pipe)),
                Err(error) if error.raw_os_error() == Some(ERROR_PIPE_BUSY) => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(failed(&error)),
            }
        }
    }

    /// Connects, and binds the connection to a session if there is a request for it
    /// ([`ssh_proto::Client::agent_binding`]).
    pub(crate) async fn bound(path: &str, binding: Option<&[u8]>) -> Result<Self, AgentError> {
        let mut agent = Self::connect(path).await?;
        let Some(request) = binding else { return Ok(agent) };
        match agent.request(request).await {
            // Agents that do not know it refuse, or close the connection.
            Ok(_) => Ok(agent),
            Err(_) => Self::connect(path).await,
        }
    }

    /// Lists its public keys and certificates.
    pub(crate) async fn identities(&mut self) -> Result<Vec<Vec<u8>>, AgentError> {
        let reply = self.request(&messages::request_identities()).await?;
        Ok(messages::identities(&reply)?)
    }

    /// Signs `data`. The signature begins with the name of its algorithm.
    pub(crate) async fn sign(
        &mut self,
        key: &[u8],
        algorithm: &str,
        data: &[u8],
    ) -> Result<Vec<u8>, AgentError> {
        let reply = self.request(&messages::request_signature(key, algorithm, data)).await?;
        Ok(messages::signature(&reply)?)
    }

    /// Adds a private key, by [`messages::request_addition`].
    pub(crate) async fn add(&mut self, request: &[u8]) -> Result<(), AgentError> {
        Ok(messages::added(&self.request(request).await?)?)
    }

    /// Sends a request and reads the reply.
    async fn request(&mut self, message: &[u8]) -> Result<Vec<u8>, AgentError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => AgentError::Closed,
            _ => AgentError::Broken(system_code(&error)),
        };
        self.0.write_all(message).await.map_err(failed)?;
        let mut length = [0; 4];
        self.0.read_exact(&mut length).await.map_err(failed)?;
        let mut reply = vec![0; messages::answer_length(length)?];
        self.0.read_exact(&mut reply).await.map_err(failed)?;
        Ok(reply)
    }
}
