//! Answers to the questions of a server, from the agent or the application.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

use ssh_proto::agent::{AnswerError, signature_algorithm};
use ssh_proto::key::encode_signature;
use ssh_proto::{Client, Question};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::session::auth::agent::{Agent, AgentError};
use crate::session::auth::credentials::AgentSource;
use crate::session::auth::encrypted_secret::EncryptedSecret;
use crate::session::{
    Application, CredentialsAnswer, CredentialsFailure, CredentialsQuestion, CredentialsRequest,
    Error, Inquiry, Responses, Subject, Target, Thrown,
};

/// Answer to a question.
pub(crate) enum Answer {
    Identities(FromAgent<Vec<Vec<u8>>>),
    Signature(FromAgent<Vec<u8>>),
    Responses(Option<Responses>),
    Password(Result<Option<Zeroizing<Vec<u8>>>, CredentialsFailure>),
}

/// Answer of an agent.
pub(crate) struct FromAgent<T> {
    answer: Result<T, String>,
    /// The connection to it, unless it failed.
    agent: Option<Agent>,
    /// What the application's agent threw.
    thrown: Option<Thrown>,
}

/// Answers one question at a time. A new question replaces the one before.
pub(crate) struct Responder {
    target: Arc<Target>,
    application: Arc<dyn Application>,
    agent: Option<Agent>,
    /// The last password that the application asked its user for.
    password: Option<EncryptedSecret>,
    pending: Option<Pin<Box<dyn Future<Output = Answer> + Send>>>,
    /// What the application's agent threw last.
    thrown: Option<Thrown>,
}

impl Responder {
    pub(crate) fn new(target: Arc<Target>, application: Arc<dyn Application>) -> Self {
        Self { target, application, agent: None, password: None, pending: None, thrown: None }
    }

    /// Begins to answer a question. `binding` is the agent's first request, as in
    /// [`Client::agent_binding`].
    pub(crate) fn ask(&mut self, question: Question, binding: Option<Vec<u8>>) {
        self.pending = Some(match question {
            Question::Prompts(prompts) => {
                let responses = self.inquire(Subject::Prompts(prompts));
                Box::pin(async move { Answer::Responses(responses.await.ok()) })
            }
            Question::Password if !self.target.credentials.gives_password => {
                let response = self.inquire(Subject::Password);
                Box::pin(async move {
                    let given = response.await.ok().and_then(|given| given.into_iter().next());
                    Answer::Password(Ok(given))
                })
            }
            Question::Password => {
                let asked = self.ask_application(CredentialsQuestion::Password);
                Box::pin(async move {
                    Answer::Password(asked.await.and_then(|answer| match answer {
                        CredentialsAnswer::Password(password) => Ok(password),
                        _ => Err(CredentialsFailure::unanswered()),
                    }))
                })
            }
            Question::Identities | Question::Sign { .. } => match &self.target.credentials.agent {
                Some(AgentSource::Application) => self.ask_agent_of_application(question),
                Some(AgentSource::Socket(path)) => {
                    ask_agent(self.agent.take(), path.clone(), binding, question)
                }
                None => unreachable!("an agent is asked only if there is one"),
            },
        });
    }

    /// Asks the application for what only its user knows.
    pub(crate) fn inquire(&self, subject: Subject) -> oneshot::Receiver<Responses> {
        let (sender, responses) = oneshot::channel();
        self.application.answer(Inquiry { hop: self.target.hop, subject }, sender);
        responses
    }

    /// Returns the last password that the application asked its user for, if there was one.
    pub(crate) fn take_password(&mut self) -> Option<EncryptedSecret> {
        self.password.take()
    }

    fn ask_application(
        &self,
        question: CredentialsQuestion,
    ) -> impl Future<Output = Result<CredentialsAnswer, CredentialsFailure>> + Send + use<> {
        self.application.credentials(CredentialsRequest { hop: self.target.hop, question })
    }

    fn ask_agent_of_application(
        &self,
        question: Question,
    ) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        match question {
            Question::Sign { key, algorithm, data } => {
                let algorithm = signature_algorithm(algorithm);
                let question = CredentialsQuestion::Signature { key, algorithm, data };
                let asked = self.ask_application(question);
                Box::pin(async move {
                    Answer::Signature(FromAgent::of_application(asked.await, |answer| {
                        let CredentialsAnswer::Signature(made) = answer else { return None };
                        encode_signature(algorithm, &made)
                    }))
                })
            }
            _ => {
                let asked = self.ask_application(CredentialsQuestion::Identities);
                Box::pin(async move {
                    Answer::Identities(FromAgent::of_application(asked.await, |answer| {
                        let CredentialsAnswer::Identities(keys) = answer else { return None };
                        Some(keys)
                    }))
                })
            }
        }
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
            Answer::Identities(identities) => {
                let identities = self.take(identities);
                client.identities(identities)?;
            }
            Answer::Signature(signature) => {
                let signature = self.take(signature);
                client.signature(signature)?;
            }
            Answer::Responses(responses) => client.responses(responses.as_deref())?,
            Answer::Password(given) => {
                let password = given?;
                if !self.target.credentials.gives_password {
                    self.password = password.as_ref().map(|bytes| EncryptedSecret::new(bytes));
                }
                client.password(password.as_ref().map(|bytes| bytes.as_slice()))?;
            }
        }
        Ok(())
    }

    fn take<T>(&mut self, from: FromAgent<T>) -> Result<T, String> {
        self.agent = from.agent;
        self.thrown = from.thrown.or(self.thrown);
        from.answer
    }

    /// Adds what the application's agent threw to the error of a refused authentication.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match error {
            Error::Auth(_) => error.caused_by(self.thrown),
            other => other,
        }
    }
}

impl<T> FromAgent<T> {
    fn of_application(
        answer: Result<CredentialsAnswer, CredentialsFailure>,
        read: impl FnOnce(CredentialsAnswer) -> Option<T>,
    ) -> Self {
        let (answer, thrown) = match answer {
            Ok(answer) => {
                (read(answer).ok_or_else(|| "its signature is of another kind".to_owned()), None)
            }
            Err(failure) => (Err(failure.text), failure.thrown),
        };
        Self { answer, agent: None, thrown }
    }
}

/// Asks the agent at a socket.
fn ask_agent(
    agent: Option<Agent>,
    path: String,
    binding: Option<Vec<u8>>,
    question: Question,
) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
    match question {
        Question::Sign { key, algorithm, data } => Box::pin(async move {
            let sign = async |agent: &mut Agent| agent.sign(&key, algorithm, &data).await;
            Answer::Signature(with_agent(agent, &path, binding, sign).await)
        }),
        _ => Box::pin(async move {
            let list = async |agent: &mut Agent| agent.identities().await;
            Answer::Identities(with_agent(agent, &path, binding, list).await)
        }),
    }
}

/// Does `work` with the agent, and connects to it first if necessary. A connection that failed is
/// not used again, because parts of a reply may still arrive on it.
async fn with_agent<T>(
    agent: Option<Agent>,
    path: &str,
    binding: Option<Vec<u8>>,
    work: impl AsyncFnOnce(&mut Agent) -> Result<T, AgentError>,
) -> FromAgent<T> {
    let connected = match agent {
        Some(agent) => Ok(agent),
        None => Agent::bound(path, binding.as_deref()).await,
    };
    let mut agent = match connected {
        Ok(agent) => agent,
        Err(error) => {
            return FromAgent { answer: Err(error.to_string()), agent: None, thrown: None };
        }
    };
    let (answer, agent) = match work(&mut agent).await {
        Ok(value) => (Ok(value), Some(agent)),
        Err(error @ AgentError::Answer(AnswerError::Refused)) => {
            (Err(error.to_string()), Some(agent))
        }
        Err(error) => (Err(error.to_string()), None),
    };
    FromAgent { answer, agent, thrown: None }
}
