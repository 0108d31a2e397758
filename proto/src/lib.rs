//! Every message and gRPC service that crosses a process, generated from the `.proto` files beside
//! this crate, together with what commands promise (`saga_contract`'s traits).

include!(concat!(env!("OUT_DIR"), "/contracts.rs"));

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

#[cfg(test)]
mod tests;
