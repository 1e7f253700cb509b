//! Answers to the questions of a server, from the agent or the application.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

use ssh_proto::agent::AnswerError;
use ssh_proto::{Client, Prompts, Question};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::session::Error;
use crate::session::auth::agent::{Agent, AgentError};
use crate::session::auth::encrypted_secret::EncryptedSecret;

/// A question to the application about one server.
#[derive(Debug)]
pub struct Inquiry {
    /// Index of the jump host that it is about; `None` for the tunnel's own server.
    pub hop: Option<u32>,
    /// What is asked for.
    pub subject: Subject,
}

/// What the application is asked for.
#[derive(Debug)]
pub enum Subject {
    /// Responses to the prompts of the server, one for each.
    Prompts(Prompts),
    /// The user's password, as the only response.
    Password,
    /// Permission to add the private key with this index to the agent: its comment, as the only
    /// response.
    Key(usize),
}

/// Responses to an [`Inquiry`].
pub type Responses = Vec<Zeroizing<Vec<u8>>>;

/// Asks the application for responses; dropping the sender gives none.
pub(crate) type Prompting = dyn Fn(Inquiry, oneshot::Sender<Responses>) + Send + Sync;

/// Answer to a question, with the connection to the agent unless it failed.
pub(crate) enum Answer {
    Identities(Result<Vec<Vec<u8>>, String>, Option<Agent>),
    Signature(Result<Vec<u8>, String>, Option<Agent>),
    Responses(Option<Responses>),
    Password(Option<Responses>),
}

/// Answers one question at a time. A new question replaces the one before.
pub(crate) struct Responder {
    /// Path of the agent's socket.
    path: Option<String>,
    prompt: Arc<Prompting>,
    /// Index of the jump host that asks.
    hop: Option<u32>,
    agent: Option<Agent>,
    /// The last password from the application.
    password: Option<EncryptedSecret>,
    pending: Option<Pin<Box<dyn Future<Output = Answer> + Send>>>,
}

impl Responder {
    pub(crate) fn new(path: Option<String>, prompt: Arc<Prompting>, hop: Option<u32>) -> Self {
        Self { path, prompt, hop, agent: None, password: None, pending: None }
    }

    /// Begins to answer a question. `binding` is the agent's first request, as in
    /// [`Client::agent_binding`].
    pub(crate) fn ask(&mut self, question: Question, binding: Option<Vec<u8>>) {
        let path = self.path.clone().unwrap_or_default();
        let agent = self.agent.take();
        self.pending = Some(match question {
            Question::Identities => Box::pin(async move {
                let list = async |agent: &mut Agent| agent.identities().await;
                let (identities, agent) = with_agent(agent, &path, binding, list).await;
                Answer::Identities(identities, agent)
            }),
            Question::Sign { key, algorithm, data } => Box::pin(async move {
                let sign = async |agent: &mut Agent| agent.sign(&key, algorithm, &data).await;
                let (signature, agent) = with_agent(agent, &path, binding, sign).await;
                Answer::Signature(signature, agent)
            }),
            Question::Prompts(prompts) => {
                let responses = self.inquire(Subject::Prompts(prompts));
                Box::pin(async move { Answer::Responses(responses.await.ok()) })
            }
            Question::Password => {
                let response = self.inquire(Subject::Password);
                Box::pin(async move { Answer::Password(response.await.ok()) })
            }
        });
    }

    /// Asks the application.
    pub(crate) fn inquire(&self, subject: Subject) -> oneshot::Receiver<Responses> {
        let (sender, responses) = oneshot::channel();
        (self.prompt)(Inquiry { hop: self.hop, subject }, sender);
        responses
    }

    /// Waits for the answer to the question. Cancel safe.
    pub(crate) async fn answer(&mut self) -> Answer {
        match &mut self.pending {
            Some(answer) => {
                let answer = answer.await;
                self.pending = None;
                answer
            }
            None => pending().await,
        }
    }

    /// Returns the last password from the application, if there was one.
    pub(crate) fn take_password(&mut self) -> Option<EncryptedSecret> {
        self.password.take()
    }

    /// Passes an answer to the client.
    pub(crate) fn pass(&mut self, answer: Answer, client: &mut Client) -> Result<(), Error> {
        match answer {
            Answer::Identities(identities, agent) => {
                self.agent = agent;
                client.identities(identities)?;
            }
            Answer::Signature(signature, agent) => {
                self.agent = agent;
                client.signature(signature)?;
            }
            Answer::Responses(responses) => client.responses(responses.as_deref())?,
            Answer::Password(given) => {
                let password = given.as_ref().and_then(|given| given.first());
                self.password = password.map(|bytes| EncryptedSecret::new(bytes));
                client.password(password.map(|bytes| bytes.as_slice()))?;
            }
        }
        Ok(())
    }
}

/// Does `work` with the agent, and connects to it first if necessary. A connection that failed is
/// not used again, because parts of a reply may still arrive on it.
async fn with_agent<T>(
    agent: Option<Agent>,
    path: &str,
    binding: Option<Vec<u8>>,
    work: impl AsyncFnOnce(&mut Agent) -> Result<T, AgentError>,
) -> (Result<T, String>, Option<Agent>) {
    let connected = match agent {
        Some(agent) => Ok(agent),
        None => Agent::bound(path, binding.as_deref()).await,
    };
    let mut agent = match connected {
        Ok(agent) => agent,
        Err(error) => return (Err(error.to_string()), None),
    };
    match work(&mut agent).await {
        Ok(value) => (Ok(value), Some(agent)),
        Err(error @ AgentError::Answer(AnswerError::Refused)) => {
            (Err(error.to_string()), Some(agent))
        }
        Err(error) => (Err(error.to_string()), None),
    }
}
