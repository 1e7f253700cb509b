//! The questions of a server, as JavaScript sees them.

use napi_derive::napi;

use crate::session;

/// What a server asks the user, as JavaScript sees it.
#[napi(object, object_from_js = false)]
pub struct Prompts {
    /// A title.
    pub name: String,
    /// An explanation.
    pub instructions: String,
    /// The language of the texts.
    pub lang: String,
    /// The questions.
    pub prompts: Vec<Prompt>,
}

/// One question.
#[napi(object, object_from_js = false)]
pub struct Prompt {
    /// What is asked.
    pub prompt: String,
    /// Whether the answer may be seen.
    pub echo: bool,
}

impl From<session::Prompts> for Prompts {
    fn from(prompts: session::Prompts) -> Self {
        let each = prompts.prompts.into_iter();
        Self {
            name: prompts.name,
            instructions: prompts.instruction,
            lang: prompts.language,
            prompts: each
                .map(|session::Prompt { text, echo }| Prompt { prompt: text, echo })
                .collect(),
        }
    }
}
