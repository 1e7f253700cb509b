//! Whether the server lets the user in.

use super::messages::Part::{Flag, Number, Text};
use super::messages::build;
use super::server::Server;
use crate::key::PublicKey;
use crate::message::{
    USERAUTH_FAILURE, USERAUTH_METHOD_SPECIFIC, USERAUTH_REQUEST, USERAUTH_SUCCESS,
};
use crate::wire::{Reader, Writer};

/// What a request comes to.
enum Verdict {
    Good,
    Bad,
    /// It is to be followed by something.
    GoOn(Vec<u8>),
}

/// The method of a USERAUTH_REQUEST, and whether it is signed.
pub(crate) fn method(payload: &[u8]) -> (&str, bool) {
    let mut reader = Reader::new(payload);
    assert_eq!(reader.byte(), Ok(USERAUTH_REQUEST));
    reader.text().unwrap();
    reader.text().unwrap();
    let method = reader.text().unwrap();
    (method, method == "publickey" && reader.boolean().unwrap())
}

impl Server {
    /// Judges a USERAUTH_REQUEST; what is malformed in it is a failure of the test.
    pub(crate) fn judge(&mut self, payload: &[u8]) -> Vec<u8> {
        let (method, _) = method(payload);
        let turn = self.script.sequence.first();
        let verdict = match turn {
            Some(turn) if *turn != method => Verdict::Bad,
            _ => self.look_at(payload),
        };
        self.pronounce(verdict)
    }

    /// Judges a USERAUTH_INFO_RESPONSE.
    pub(crate) fn judge_answers(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut reader = Reader::new(payload);
        reader.byte().unwrap();
        let asked = &self.script.rounds[self.round];
        assert_eq!(reader.uint32(), Ok(asked.len() as u32));
        let good = asked.iter().fold(true, |good, (_, answer)| {
            let given = reader.text().unwrap();
            good && given == *answer
        });
        assert_eq!(reader.remaining(), 0);
        self.round += 1;
        let verdict = if good { self.ask() } else { Verdict::Bad };
        self.pronounce(verdict)
    }

    fn pronounce(&mut self, verdict: Verdict) -> Vec<u8> {
        let good = match verdict {
            Verdict::GoOn(message) => return message,
            Verdict::Good => true,
            Verdict::Bad => false,
        };
        let sequence = &mut self.script.sequence;
        if good && sequence.len() <= 1 {
            return vec![USERAUTH_SUCCESS];
        }
        if good {
            sequence.remove(0);
        }
        let methods = sequence.first().unwrap_or(&self.script.methods);
        build(USERAUTH_FAILURE, &[Text(methods.as_bytes()), Flag(good)])
    }

    /// The next round of questions, if there is one.
    fn ask(&self) -> Verdict {
        let Some(round) = self.script.rounds.get(self.round) else { return Verdict::Good };
        let mut parts = vec![Text(b"name"), Text(b"instruction"), Text(b"")];
        parts.push(Number(round.len() as u32));
        for (text, _) in round {
            parts.extend([Text(text.as_bytes()), Flag(text.starts_with("Name"))]);
        }
        Verdict::GoOn(build(USERAUTH_METHOD_SPECIFIC, &parts))
    }

    fn look_at(&mut self, payload: &[u8]) -> Verdict {
        let verdict = |good| if good { Verdict::Good } else { Verdict::Bad };
        let mut reader = Reader::new(payload);
        reader.byte().unwrap();
        assert_eq!(reader.text(), Ok("ann"));
        assert_eq!(reader.text(), Ok("ssh-connection"));
        match reader.text().unwrap() {
            "publickey" => {
                let signed = reader.boolean().unwrap();
                let (algorithm, blob) = (reader.text().unwrap(), reader.string().unwrap());
                let covered = payload.len() - reader.remaining();
                let names = self.script.sig_algs;
                let takes = names.is_none_or(|names| names.split(',').any(|n| n == algorithm));
                let good = takes && self.script.user.as_deref() == Some(blob);
                if !signed {
                    assert_eq!(reader.remaining(), 0);
                    let parts = [Text(algorithm.as_bytes()), Text(blob)];
                    let message = build(USERAUTH_METHOD_SPECIFIC, &parts);
                    return if good { Verdict::GoOn(message) } else { Verdict::Bad };
                }
                let mut data = Vec::new();
                data.put_string(self.session.as_deref().unwrap());
                data.extend_from_slice(&payload[..covered]);
                let signature = reader.string().unwrap();
                assert_eq!(reader.remaining(), 0);
                let key = PublicKey::parse(blob).unwrap();
                key.verify(algorithm, &data, signature).expect("the user's signature is good");
                verdict(good)
            }
            "password" => {
                assert_eq!(reader.boolean(), Ok(false));
                let password = reader.text().unwrap();
                assert_eq!(reader.remaining(), 0);
                verdict(self.script.password == Some(password))
            }
            "keyboard-interactive" => {
                assert_eq!((reader.text(), reader.text()), (Ok(""), Ok("")));
                assert_eq!(reader.remaining(), 0);
                self.round = 0;
                if self.script.rounds.is_empty() { Verdict::Bad } else { self.ask() }
            }
            "none" => Verdict::Bad,
            other => panic!("nobody asked for {other}"),
        }
    }
}
