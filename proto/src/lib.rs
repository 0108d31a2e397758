//! Every message and gRPC service that crosses a process, generated from the `.proto` files beside
//! this crate, together with what commands promise (`saga_contract`'s traits).

pub use messages::{
    InventoryCommand, InventoryCommands, OrderCommand, OrderCommands, PaymentCommand,
    PaymentCommands,
    saga::v1 as saga,
    shop::{inventory::v1 as inventory, order::v1 as order, payment::v1 as payment, v1 as shop},
};

/// Every `.proto` here as a `FileDescriptorSet`: for gRPC reflection and for decoding records.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    reason = "generated"
)]
mod messages {
    use saga_contract::{
        Answer, Command, CommandSet, Decision, Event, Retriable, Settled, Undecodable, Undoable,
    };

    include!(concat!(env!("OUT_DIR"), "/messages.rs"));
    include!(concat!(env!("OUT_DIR"), "/promises.rs"));
}
