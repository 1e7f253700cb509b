//! The command line: `--name value` pairs.

use std::collections::HashMap;
use std::str::FromStr;

use crate::error::Error;

/// The pairs that no command has asked for yet.
#[derive(Debug)]
pub(crate) struct Options(HashMap<String, String>);

impl Options {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Error> {
        let mut pairs = HashMap::new();
        while let Some(word) = words.next() {
            let Some(name) = word.strip_prefix("--") else {
                return Err(Error::Usage(format!("'{word}' is not an option")));
            };
            let value =
                words.next().ok_or_else(|| Error::Usage(format!("--{name} needs a value")))?;
            if pairs.insert(name.to_owned(), value).is_some() {
                return Err(Error::Usage(format!("--{name} is there twice")));
            }
        }
        Ok(Self(pairs))
    }

    /// The value of an option that has to be there.
    pub(crate) fn required<T: FromStr>(&mut self, name: &str) -> Result<T, Error> {
        self.optional(name)?.ok_or_else(|| Error::Usage(format!("--{name} is missing")))
    }

    /// The value of an option that may be left out.
    pub(crate) fn optional<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Error> {
        let Some(value) = self.0.remove(name) else { return Ok(None) };
        let bad = |_| Error::Usage(format!("--{name} cannot be '{value}'"));
        value.parse().map(Some).map_err(bad)
    }

    /// Refuses what is left: a misspelt option must not pass for its default.
    pub(crate) fn finish(self) -> Result<(), Error> {
        match self.0.into_keys().next() {
            Some(name) => Err(Error::Usage(format!("--{name} is no option of this command"))),
            None => Ok(()),
        }
    }
}

/// A number that is at least one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Positive(pub(crate) usize);

impl FromStr for Positive {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        text.parse().ok().filter(|&number| number > 0).map(Self).ok_or(())
    }
}

/// A time in the unit of its option, whole or fractional.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(pub(crate) f64);

impl FromStr for Time {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        // A day in seconds is more than any run needs, and far below what an Instant can hold.
        text.parse().ok().filter(|time| (0.0..=86_400.0).contains(time)).map(Self).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &[&str]) -> Result<Options, Error> {
        Options::parse(words.iter().map(|&word| word.to_owned()))
    }

    #[test]
    fn takes_pairs_and_leaves_nothing_unsaid() {
        let mut good = options(&["--port", "80", "--seconds", "0.5"]).unwrap();
        assert_eq!(good.required::<u16>("port").unwrap(), 80);
        assert_eq!(good.required::<Time>("seconds").unwrap().0, 0.5);
        assert!(good.optional::<u16>("bytes").unwrap().is_none());
        good.finish().unwrap();
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        assert!(options(&["80"]).is_err());
        assert!(options(&["--port"]).is_err());
        assert!(options(&["--port", "1", "--port", "2"]).is_err());
        assert!(options(&["--prot", "1"]).unwrap().finish().is_err());
        assert!(options(&[]).unwrap().required::<u16>("port").is_err());
        assert!(options(&["--port", "-1"]).unwrap().required::<u16>("port").is_err());
        assert!(options(&["--count", "0"]).unwrap().required::<Positive>("count").is_err());
        for seconds in ["-1", "NaN", "inf", "1e9"] {
            let mut options = options(&["--seconds", seconds]).unwrap();
            assert!(options.required::<Time>("seconds").is_err(), "{seconds}");
        }
    }
}
