//! Whom to tell what takes long while it does, and what the person should know of.

use std::fmt;
use std::sync::Arc;

/// Who is told; nobody unless given.
#[derive(Clone, Default)]
pub struct Progress(Option<Tell>);

type Tell = Arc<dyn Fn(&str) + Send + Sync>;

impl Progress {
    pub fn to(tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(tell)))
    }

    /// The log hears of it too.
    pub(crate) fn tell(&self, text: &str) {
        tracing::info!("{text}");
        if let Some(tell) = &self.0 {
            tell(text);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Progress").field(&self.0.is_some()).finish()
    }
}
