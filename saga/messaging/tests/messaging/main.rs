//! Effects once, over a real Kafka and a real Postgres: every way a message can come twice, too
//! early, too late or broken, and every way the ground can give way under a lane.

mod broker;
mod commands;
mod events;
mod lanes;
mod poison;
mod post;
mod shop;
mod world;
mod writers;
