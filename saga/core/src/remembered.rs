//! What a saga remembers between messages, without its type.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

/// As JSON text: most messages only move a saga, and do not have to take apart what it remembers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Remembered(Box<RawValue>);

impl Remembered {
    pub(crate) fn of(data: &impl Serialize) -> serde_json::Result<Self> {
        serde_json::value::to_raw_value(data).map(Remembered)
    }

    pub(crate) fn read<S: DeserializeOwned>(&self) -> serde_json::Result<S> {
        serde_json::from_str(self.0.get())
    }

    fn value(&self) -> Value {
        // Whatever is in here was written or checked as JSON.
        self.read().unwrap_or_default()
    }
}

impl fmt::Display for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get())
    }
}

/// The same when it says the same: the fields of a struct may change places between two builds.
impl PartialEq for Remembered {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get() || self.value() == other.value()
    }
}

impl Hash for Remembered {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value().hash(state);
    }
}
