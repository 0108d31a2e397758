//! Processes that die in the middle of orders.

use system_tests::{Placed, Service, Shop};

use crate::books::{all_end, all_end_as_their_cards_say};

/// Orders that are under way while something dies. Few: their sagas wait 30 s for stock, no longer.
const ORDERS: usize = 9;

#[tokio::test(flavor = "multi_thread")]
async fn each_process_is_killed_in_mid_saga() {
    let mut shop = Shop::open("crashes").await;
    let mut placed = Vec::new();
    for victim in [Service::Coordinator, Service::Order, Service::Payment] {
        shop.kill(Service::Inventory);
        let wave = shop.place_many(ORDERS).await;
        shop.all_wait_for(&wave, "reserve-stock").await;
        shop.kill(victim);
        shop.start(victim);
        shop.start(Service::Inventory);
        shop.serves(victim).await;
        all_end_as_their_cards_say(&shop, &wave).await;
        placed.extend(wave);
    }

    let decided = until_nobody_takes_the_money(&mut shop).await;
    shop.kill(Service::Inventory);
    shop.start(Service::Inventory);
    shop.start(Service::Payment);
    all_end_as_their_cards_say(&shop, &decided).await;
    placed.extend(decided);
    all_end(&shop, &placed).await;
}

/// Orders that are decided, and whose sagas wait for a payment service that is dead. They have time:
/// what is decided is asked for again and again.
pub(crate) async fn until_nobody_takes_the_money(shop: &mut Shop) -> Vec<Placed> {
    shop.kill(Service::Inventory);
    let placed = shop.place_many(ORDERS).await;
    shop.all_wait_for(&placed, "reserve-stock").await;
    shop.kill(Service::Payment);
    shop.start(Service::Inventory);
    shop.serves(Service::Inventory).await;
    let payable: Vec<Placed> = placed.iter().filter(|placed| placed.is_payable).cloned().collect();
    shop.all_wait_for(&payable, "capture-payment").await;
    placed
}
