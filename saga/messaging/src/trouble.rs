//! What keeps work from being done: told when it begins and when it is over, not with every try.

use crate::{Error, error::chain};

/// What was told last, and is not over yet.
#[derive(Debug, Default)]
pub(crate) struct Trouble(Option<String>);

impl Trouble {
    /// What to tell: nothing when that is told already.
    pub(crate) fn news(&mut self, failure: &Error) -> Option<String> {
        let text = chain(failure);
        let is_news = self.0.as_ref() != Some(&text);
        is_news.then(|| self.0.insert(text).clone())
    }

    /// Whether there was any until now.
    pub(crate) fn is_over(&mut self) -> bool {
        self.0.take().is_some()
    }
}
