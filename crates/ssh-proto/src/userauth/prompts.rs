//! Messages of keyboard-interactive (RFC 4256).

use zeroize::Zeroizing;

use crate::Error;
use crate::message::USERAUTH_INFO_RESPONSE;
use crate::text::lines;
use crate::wire::{Reader, Writer, message};

/// Rounds of prompts in one attempt. Two factors take two or three.
pub(super) const MAX_ROUNDS: usize = 32;
/// Prompts in one round; OpenSSH's server sends 256 at most.
const MAX_PROMPTS: u32 = 256;

/// A round of prompts. The texts have no control characters other than tabs and line feeds, so that
/// a terminal may show them; only the size of a packet limits their length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompts {
    /// A title; often empty.
    pub name: String,
    /// An explanation; often empty.
    pub instruction: String,
    /// The language of the texts; nearly always empty.
    pub language: String,
    /// The prompts, at least one.
    pub prompts: Vec<Prompt>,
}

/// One prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// The text, such as `Password: `.
    pub text: String,
    /// Whether the response may be shown while it is typed.
    pub echo: bool,
}

impl Prompts {
    /// Reads USERAUTH_INFO_REQUEST.
    ///
    /// ```text
    /// string   name
    /// string   instruction
    /// string   language tag
    /// uint32   number of prompts, then for each of them
    /// string     prompt
    /// boolean    echo
    /// ```
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let name = text(reader)?;
        let instruction = text(reader)?;
        let language = text(reader)?;
        let count = reader.uint32()?;
        if count > MAX_PROMPTS {
            return Err(Error::Protocol("too many prompts in one round"));
        }
        let prompts = (0..count)
            .map(|_| Ok(Prompt { text: text(reader)?, echo: reader.boolean()? }))
            .collect::<Result<_, Error>>()?;
        Ok(Self { name, instruction, language, prompts })
    }

    /// Returns whether there is a single prompt without echo, which asks for a password.
    pub(super) fn ask_for_password(&self) -> bool {
        matches!(self.prompts[..], [Prompt { echo: false, .. }])
    }
}

fn text(reader: &mut Reader<'_>) -> Result<String, Error> {
    Ok(lines(reader.string()?))
}

/// Returns USERAUTH_INFO_RESPONSE: `uint32 number of responses`, then each as a `string`.
pub(super) fn response(answers: &[Zeroizing<Vec<u8>>]) -> Zeroizing<Vec<u8>> {
    let mut payload = Zeroizing::new(message(USERAUTH_INFO_RESPONSE));
    // Reserved first: growing would leave a copy in memory that is not wiped.
    payload.reserve_exact(4 + answers.iter().map(|answer| 4 + answer.len()).sum::<usize>());
    payload.put_uint32(u32::try_from(answers.len()).expect("there are at most 256 prompts"));
    for answer in answers {
        payload.put_string(answer);
    }
    payload
}
