use super::{can_be_sku, is_currency};

#[test]
fn a_sku_is_short_and_printable() {
    for text in ["SKU-1", "a_b.7", &"x".repeat(64)] {
        assert!(can_be_sku(text), "{text}");
    }
    for text in ["", "a b", "SKU\0", "ß", &"x".repeat(65)] {
        assert!(!can_be_sku(text), "{text}");
    }
}

#[test]
fn a_currency_is_three_capitals() {
    assert!(is_currency("EUR"));
    for text in ["", "eur", "EURO", "€€€", " EU"] {
        assert!(!is_currency(text), "{text}");
    }
}
