use super::*;

fn put(catalog: &mut Catalog, sku: &str, price_minor: i64) -> Item {
    let (sku, name, currency) = (sku.to_owned(), "Cup".to_owned(), "EUR".to_owned());
    catalog.make(Change::Put { sku, name, price_minor, currency }).unwrap()
}

fn restock(
    catalog: &mut Catalog,
    request_id: &str,
    sku: &str,
    quantity: i64,
) -> Result<Item, NotChanged> {
    let restock = Restock { sku: sku.to_owned(), quantity };
    catalog.make(Change::Restock { request_id: request_id.to_owned(), restock })
}

#[test]
fn a_new_item_is_listed_with_nothing_in_stock() {
    let mut catalog = Catalog::default();
    let item = put(&mut catalog, "SKU-1", 100);
    assert_eq!((item.revision, item.available, item.stocked), (1, 0, 0));
    assert!(catalog.new_items.contains("SKU-1") && catalog.to_publish.contains("SKU-1"));
}

#[test]
fn only_a_change_is_a_new_revision() {
    let mut catalog = Catalog::default();
    put(&mut catalog, "SKU-1", 100);
    assert_eq!(put(&mut catalog, "SKU-1", 100).revision, 1);
    assert_eq!(put(&mut catalog, "SKU-1", 200).revision, 2);
}

#[test]
fn the_same_item_put_again_is_not_told_again() {
    let mut catalog = Catalog::default();
    let item = put(&mut catalog, "SKU-1", 100);
    let mut later = Catalog { items: [(item.sku.clone(), item)].into(), ..Catalog::default() };
    put(&mut later, "SKU-1", 100);
    assert!(later.changed_items.is_empty() && later.to_publish.is_empty());
    later.make(Change::Announce { sku: "SKU-1".to_owned() }).unwrap();
    assert!(later.changed_items.is_empty() && later.to_publish.contains("SKU-1"));
}

#[test]
fn a_restock_is_done_once_for_its_request_id() {
    let mut catalog = Catalog::default();
    put(&mut catalog, "SKU-1", 100);
    assert_eq!(restock(&mut catalog, "a", "SKU-1", 5).unwrap().available, 5);
    assert_eq!(restock(&mut catalog, "a", "SKU-1", 5).unwrap().available, 5);
    assert_eq!(restock(&mut catalog, "b", "SKU-1", 5).unwrap().stocked, 10);
    assert_eq!(restock(&mut catalog, "a", "SKU-1", 6), Err(NotChanged::RequestIdReused));
    assert_eq!(restock(&mut catalog, "a", "SKU-2", 5), Err(NotChanged::RequestIdReused));
}

#[test]
fn a_restock_that_cannot_be_counts_for_nothing() {
    let mut catalog = Catalog::default();
    assert_eq!(restock(&mut catalog, "a", "SKU-1", 5), Err(NotChanged::NoSuchItem));
    put(&mut catalog, "SKU-1", 100);
    restock(&mut catalog, "b", "SKU-1", 5).unwrap();
    assert_eq!(restock(&mut catalog, "c", "SKU-1", i64::MAX), Err(NotChanged::TooMany));
    assert_eq!(catalog.items["SKU-1"].available, 5);
    assert_eq!(catalog.new_restocks.len(), 1);
}
