//! The coordinator as its neighbours meet it: over Kafka and over gRPC.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests end the test")]
#![expect(unreachable_pub, reason = "a test has no users")]

#[path = "coordinator/process.rs"]
mod process;
#[path = "coordinator/participants.rs"]
mod participants;
#[path = "coordinator/brief.rs"]
mod brief;
#[path = "coordinator/running.rs"]
mod running;
#[path = "coordinator/silence.rs"]
mod silence;
#[path = "coordinator/stuck.rs"]
mod stuck;
#[path = "coordinator/poison.rs"]
mod poison;
#[path = "coordinator/versions.rs"]
mod versions;
#[path = "coordinator/looking.rs"]
mod looking;
