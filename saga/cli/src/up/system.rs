//! The system from its start to its stop: servers first, then services; and backwards.

use std::{
    net::TcpListener,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bootstrap::{Common, ServerUrl};
use proto::order::{CatalogItem, ListCatalogRequest};
use provision::{Kafka, Postgres, Progress, kafka, postgres};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    Start, database,
    health::{ASK_KAFKA, ASK_POSTGRES, Health, answers, check},
    services::Services,
    state::{Claim, Running},
};
use crate::{
    advice::here,
    clients::{Addresses, Clients},
    failure::{Failure, OTHER_PORTS},
    output::talk,
    pages, stock,
};

/// A system that runs in this process.
#[derive(Debug)]
pub(crate) struct System {
    services: JoinHandle<anyhow::Result<()>>,
    stop_services: CancellationToken,
    kafka: Option<Kafka>,
    postgres: Option<Postgres>,
    claim: Arc<Claim>,
}

impl System {
    /// Returns when a first order would work.
    ///
    /// # Errors
    /// What keeps it from starting, with what to do about it; everything started is stopped again.
    pub(crate) async fn start(
        claim: Claim,
        start: &Start,
        common: &Common,
        stop: &CancellationToken,
    ) -> Result<Self, Failure> {
        let claim = Arc::new(claim);
        let started = tokio::select! {
            started = Self::start_claimed(start, common, &claim) => started,
            () = stop.cancelled() => Err(Failure::new("stopped while starting")),
        };
        match started {
            Ok((services, stop_services, kafka, postgres)) => {
                claim.ready();
                Ok(Self { services, stop_services, kafka, postgres, claim })
            }
            Err(failure) => {
                claim.release();
                Err(failure)
            }
        }
    }

    pub(crate) fn running(&self) -> Running {
        self.claim.running()
    }

    /// Runs until it is told to stop, or a part of it ends; then stops everything in order.
    ///
    /// # Errors
    /// The part that ended and why, after everything else has been stopped.
    pub(crate) async fn until_stopped(mut self, stop: &CancellationToken) -> Result<(), Failure> {
        let failure = tokio::select! {
            ended = &mut self.services => {
                self.claim.stopping();
                self.stop_servers().await;
                let untold = || Err(Failure::new("the services ended without being told to"));
                return outcome(ended)
                    .and_then(|()| untold())
                    .map_err(|failure| failure.next(says_more("more")));
            }
            ended = or_never(self.kafka.as_mut().map(Kafka::ended)) => ended,
            ended = or_never(self.postgres.as_mut().map(Postgres::ended)) => ended,
            () = stop.cancelled() => return self.stop().await,
        };
        let failure = Failure::from(failure)
            .next(format!("start it again with {}: the data stays", here("up")));
        // What the services say of a server that is gone is no news.
        let _ = self.stop().await;
        Err(failure)
    }

    /// Stops the services, then Kafka, then Postgres.
    ///
    /// # Errors
    /// A service that did not end as it should.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        self.claim.stopping();
        talk("stopping the services …");
        self.stop_services.cancel();
        let ended = (&mut self.services).await;
        self.stop_servers().await;
        outcome(ended)
    }

    async fn stop_servers(self) {
        if let Some(kafka) = self.kafka {
            talk("stopping Kafka …");
            kafka.stop().await;
        }
        if let Some(postgres) = self.postgres {
            talk("stopping Postgres …");
            postgres.stop().await;
        }
        self.claim.release();
        talk("stopped");
    }

    async fn start_claimed(
        start: &Start,
        common: &Common,
        claim: &Arc<Claim>,
    ) -> Result<Parts, Failure> {
        let Running { addresses, data_dir, .. } = claim.running();
        check_ports(&addresses)?;
        let (postgres_port, kafka_port) = addresses.server_ports();
        let postgres = postgres_options(&data_dir, postgres_port, claim);
        let postgres = start.database_url.is_none().then_some(postgres);
        let kafka = start.kafka.is_none().then(|| kafka_options(&data_dir, kafka_port, claim));
        provision::check(postgres.as_ref(), kafka.as_ref()).await?;
        if start.fresh {
            wipe(start, &data_dir)?;
            claim.progress("wiped the data");
        }
        let (postgres, kafka) =
            tokio::try_join!(start_postgres(postgres, claim), start_kafka(kafka, claim),)?;
        let database_url = match (&postgres, &start.database_url) {
            (Some(postgres), _) => postgres.url("postgres"),
            (None, url) => url.clone().unwrap_or_default(),
        };
        let address = database::address_of(&database_url);
        // One that is reached by a socket in a folder is not asked beforehand.
        if postgres.is_none() && !address.starts_with(['%', '/']) {
            wait_for("Postgres", &address, ASK_POSTGRES, "--database-url", claim).await?;
        }
        let mut common = common.clone();
        match &kafka {
            Some(kafka) => common.kafka = kafka.brokers(),
            None => wait_for("Kafka", &common.kafka, ASK_KAFKA, "--kafka", claim).await?,
        }
        claim.change(|running| {
            running.kafka.clone_from(&common.kafka);
            running.partitions = Some(common.partitions);
            running.database_url = ServerUrl::parse(&database_url)
                .map(|url| url.without_secrets())
                .unwrap_or_default();
        });
        postgres::create_databases(&database_url, &database::NAMES).await?;

        let services = Services::new(&addresses, &database_url, &common)?;
        let stop_services = CancellationToken::new();
        let mut running = tokio::spawn(services.run(stop_services.clone()));
        let ready = tokio::select! {
            ready = wait_until_ready(&addresses, claim) => ready,
            ended = &mut running => {
                outcome(ended).and_then(|()| Err(Failure::new("the services ended while starting")))
            }
        };
        match ready {
            Ok(()) => Ok((running, stop_services, kafka, postgres)),
            Err(failure) => {
                stop_services.cancel();
                Err(failure)
            }
        }
    }
}

/// How the services ended.
fn outcome(ended: Result<anyhow::Result<()>, JoinError>) -> Result<(), Failure> {
    match ended {
        Ok(ended) => ended.map_err(Failure::from),
        Err(panic) => Err(Failure::new("the services broke").why(panic.to_string())),
    }
}

/// A server that is not ours does not end here.
async fn or_never<T>(future: Option<impl Future<Output = T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

type Parts = (JoinHandle<anyhow::Result<()>>, CancellationToken, Option<Kafka>, Option<Postgres>);

/// Says at once what would otherwise be said after seconds.
fn check_ports(addresses: &Addresses) -> Result<(), Failure> {
    for (name, address) in addresses.named() {
        if let Err(error) = TcpListener::bind(address) {
            return Err(Failure::of_code(
                tonic::Code::FailedPrecondition,
                format!("the {name} cannot listen at {address}"),
            )
            .why(error.to_string())
            .next(OTHER_PORTS));
        }
    }
    Ok(())
}

fn says_more(what: &str) -> String {
    format!("{} says {what}", here("up --log info"))
}

fn wipe(start: &Start, data_dir: &Path) -> Result<(), Failure> {
    if start.kafka.is_some() || start.database_url.is_some() {
        let what = "--fresh can only wipe a Postgres and a Kafka that were started here";
        return Err(Failure::usage(what).next("leave --kafka and --database-url out"));
    }
    provision::remove(&data_dir.join(POSTGRES))?;
    provision::remove(&data_dir.join(KAFKA))?;
    Ok(())
}

const POSTGRES: &str = "postgres";
const KAFKA: &str = "kafka";

fn postgres_options(data_dir: &Path, port: u16, claim: &Arc<Claim>) -> postgres::Options {
    let progress = progress(claim);
    postgres::Options { port, progress, ..postgres::Options::new(data_dir.join(POSTGRES)) }
}

fn kafka_options(data_dir: &Path, port: u16, claim: &Arc<Claim>) -> kafka::Options {
    let progress = progress(claim);
    kafka::Options { port, progress, ..kafka::Options::new(data_dir.join(KAFKA)) }
}

async fn start_postgres(
    options: Option<postgres::Options>,
    claim: &Claim,
) -> Result<Option<Postgres>, Failure> {
    let Some(options) = options else { return Ok(None) };
    let postgres = Postgres::start(options).await?;
    claim.progress(&format!("Postgres at 127.0.0.1:{}", postgres.port()));
    Ok(Some(postgres))
}

async fn start_kafka(
    options: Option<kafka::Options>,
    claim: &Claim,
) -> Result<Option<Kafka>, Failure> {
    let Some(options) = options else { return Ok(None) };
    let kafka = Kafka::start(options).await?;
    claim.progress(&format!("Kafka at {}", kafka.brokers()));
    Ok(Some(kafka))
}

/// One that is not ours may be starting, too; or not be there at all.
async fn wait_for(
    server: &str,
    addresses: &str,
    question: &[u8],
    flag: &str,
    claim: &Claim,
) -> Result<(), Failure> {
    let asked_at = Instant::now();
    let mut told = false;
    loop {
        let Err(why) = answers(addresses, question).await else { return Ok(()) };
        if asked_at.elapsed() > SERVER_PATIENCE {
            let what = format!("there is no {server} at {addresses}");
            return Err(Failure::of_code(tonic::Code::Unavailable, what)
                .why(why)
                .next(format!("check {flag}, or leave it out to have one started")));
        }
        if !std::mem::replace(&mut told, true) {
            claim.under_way(&format!("waiting for {server} at {addresses}: {why}"));
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// What a server tells while it starts goes where our own progress goes.
fn progress(claim: &Arc<Claim>) -> Progress {
    let claim = Arc::clone(claim);
    Progress::to(move |text| claim.under_way(text))
}

/// Every service takes requests, and the order service knows what can be ordered.
async fn wait_until_ready(addresses: &Addresses, claim: &Claim) -> Result<(), Failure> {
    let ready = async {
        let each = addresses.named().map(async |(name, address): (&str, &str)| {
            while check(address).await != Health::Serving {
                tokio::time::sleep(GLANCE).await;
            }
            claim.progress(&format!("{name} at {address}"));
        });
        futures::future::join_all(each).await;
        wait_for_the_catalogue(&Clients::at(addresses.clone(), CALL_TIMEOUT)).await;
        claim.progress("the catalogue is filled: ready");
    };
    tokio::time::timeout(READY_PATIENCE, ready).await.map_err(|_| {
        Failure::new(format!("the services were not ready within {READY_PATIENCE:?}"))
            .next(says_more("what they wait for"))
    })
}

/// The order service hears of the items from the inventory service, over Kafka.
async fn wait_for_the_catalogue(clients: &Clients) {
    while !catalogue_is_filled(clients).await.unwrap_or(false) {
        tokio::time::sleep(GLANCE).await;
    }
}

async fn catalogue_is_filled(clients: &Clients) -> Result<bool, Failure> {
    let catalog = catalogue(clients).await?;
    if catalog.is_empty() {
        return Ok(false);
    }
    let items = stock::all(&clients.inventory()?).await?;
    Ok(items
        .iter()
        .filter(|item| item.price.is_some())
        .all(|item| catalog.iter().any(|listed| listed.sku == item.sku)))
}

async fn catalogue(clients: &Clients) -> Result<Vec<CatalogItem>, Failure> {
    let orders = clients.orders()?;
    pages::all(async |page_size, page_token| {
        let request = ListCatalogRequest { page_size, page_token };
        let page = orders.ask(request, async |mut api, request| api.list_catalog(request).await);
        page.await.map(|page| (page.items, page.next_page_token))
    })
    .await
}

const SERVER_PATIENCE: Duration = Duration::from_secs(15);
const GLANCE: Duration = Duration::from_millis(25);
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
const READY_PATIENCE: Duration = Duration::from_secs(120);
