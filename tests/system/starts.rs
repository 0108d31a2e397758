//! Processes that refuse to start, and processes that stop in good order.

use provision::cluster;
use system_tests::{Service, Shop, refusal};

use crate::books::all_end;

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_may_lose_what_it_acknowledged_is_refused() {
    let cluster = cluster::shared().await;
    for service in Service::ALL {
        let url = cluster.database(service.database()).await;
        let (code, said) = refusal(service, &[format!("--database-url={url}")]).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("fsync and full_page_writes off"), "{said}");
        assert!(said.contains("--allow-unsafe-postgres"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_stop_under_load_and_owe_nothing() {
    let mut shop = Shop::open("stops").await;
    let mut placed = Vec::new();
    for service in Service::ALL {
        // A broker that does not answer for a second leaves the rest to the next start: not every time.
        for tries in 1.. {
            let mut wave = shop.wave();
            wave.goes_on_for(20).await;
            assert_eq!(shop.stop(service).await, Some(0), "{service:?}");
            let owed = shop.owed(service).await;
            assert!(owed == 0 || tries < 3, "{service:?} owes {owed}");
            shop.start(service);
            shop.serves(service).await;
            wave.goes_on_for(1).await;
            placed.extend(wave.end().await);
            if owed == 0 {
                break;
            }
        }
    }
    all_end(&shop, &placed).await;

    // While others run with one number of partitions, nobody starts with another.
    for service in Service::ALL {
        let mut arguments = shop.arguments(service).to_vec();
        arguments.push("--partitions=8".to_owned());
        let (code, said) = refusal(service, &arguments).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("has 4 partitions"), "{said}");
        assert!(said.contains("Start with --partitions 4"), "{said}");
    }
    for service in Service::ALL {
        assert_eq!(shop.stop(service).await, Some(0), "{service:?}");
    }
}
