//! W3C trace context.

use std::{fmt, str::FromStr};

use uuid::Uuid;

/// One order is one trace: its id is the business key, where that is a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    pub trace_id: u128,
    pub parent_id: u64,
}

/// The span in which a message is handled: known to whoever knows the message.
pub fn span_id(id: Uuid) -> u64 {
    id.as_u64_pair().1
}

impl Trace {
    /// Of a message with this id about this key, that nothing caused.
    pub(crate) fn of(key: &str, message_id: Uuid) -> Self {
        let trace_id = Uuid::parse_str(key).unwrap_or(message_id);
        Trace { trace_id: trace_id.as_u128(), parent_id: span_id(trace_id) }
    }

    /// Of a message that says nothing else about it.
    pub(crate) fn expected(key: &str, message_id: Uuid, cause: Option<Uuid>) -> Self {
        let trace = Trace::of(key, message_id);
        cause.map_or(trace, |cause| trace.below(cause))
    }

    /// Below the span in which the message with this id is handled.
    pub(crate) fn below(self, message_id: Uuid) -> Self {
        Trace { parent_id: span_id(message_id), ..self }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-01", self.trace_id, self.parent_id)
    }
}

impl FromStr for Trace {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('-').skip(1);
        let (Some(trace), Some(parent), Some(_flags)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        // Signs, which numbers may have, have no place in it.
        if parent.len() != 16 || !parent.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(());
        }
        // 32 hexadecimal digits are a way to write a UUID, and the quicker one to read.
        let trace = Some(trace).filter(|trace| trace.len() == 32);
        Ok(Trace {
            trace_id: trace.and_then(|trace| Uuid::try_parse(trace).ok()).ok_or(())?.as_u128(),
            parent_id: u64::from_str_radix(parent, 16).map_err(|_| ())?,
        })
    }
}
