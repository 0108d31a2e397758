//! Every message and gRPC service that crosses a process, generated from the `.proto` files beside
//! this crate, together with what commands promise (`saga_contract`'s traits).

pub use messages::{
    InventoryCommand, InventoryCommands, OrderCommand, OrderCommands, PaymentCommand,
    PaymentCommands,
    saga::v1 as saga,
    shop::{inventory::v1 as inventory, order::v1 as order, payment::v1 as payment, v1 as shop},
};

/// Whether it can be the SKU of an item.
pub fn can_be_sku(text: &str) -> bool {
    let is_sku_char = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=SKU_LENGTH_MAX).contains(&text.len()) && text.bytes().all(is_sku_char)
}

/// In characters.
pub const SKU_LENGTH_MAX: usize = 64;

/// Whether it looks like a code of ISO 4217.
pub fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

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

#[cfg(test)]
mod tests;
