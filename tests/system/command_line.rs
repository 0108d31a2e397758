//! The command `saga`, as a person types it.
