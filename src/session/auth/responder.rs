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

/// Responses to keyboard-interactive prompts, one for each.
pub type Responses = Vec<Zeroizing<Vec<u8>>>;

/// Asks the application for responses; dropping the sender gives none.
pub(crate) type Prompting = dyn Fn(Prompts, oneshot::Sender<Responses>) + Send + Sync;

/// Answer to a question, with the connection to the agent unless it failed.
pub(crate) enum Answer {
    Identities(Result<Vec<Vec<u8>>, String>, Option<Agent>),
    Signature(Result<Vec<u8>, String>, Option<Agent>),
    Responses(Option<Responses>),
}

/// Answers one question at a time. A new question replaces the one before.
pub(crate) struct Responder {
    /// Path of the agent's socket.
    path: Option<String>,
    prompt: Arc<Prompting>,
    agent: Option<Agent>,
    pending: Option<Pin<Box<dyn Future<Output = Answer> + Send>>>,
}

impl Responder {
    pub(crate) fn new(path: Option<String>, prompt: Arc<Prompting>) -> Self {
        Self { path, prompt, agent: None, pending: None }
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
                let (sender, responses) = oneshot::channel();
                (self.prompt)(prompts, sender);
                Box::pin(async move { Answer::Responses(responses.await.ok()) })
            }
        });
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
