//! One throw-away Postgres and one throw-away Kafka per test process, each started when first asked
//! for. They end, and their data goes, when the test process has ended in whatever way.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::OnceCell;

use crate::{Error, Kafka, Postgres, kafka, port, postgres};

/// The servers of this test process; see [`shared`].
#[derive(Debug)]
pub struct Cluster {
    postgres: Postgres,
    kafka: OnceCell<Kafka>,
    folder: PathBuf,
    databases: AtomicU32,
}

/// The same for all tests of this process. Postgres runs; Kafka starts when its address is asked for.
///
/// Tests share the servers, so each takes databases, topics and groups of its own.
///
/// # Panics
/// When Postgres cannot be provided: a test can only fail then.
pub async fn shared() -> &'static Cluster {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    or_fail(CLUSTER.get_or_try_init(Cluster::start).await)
}

impl Cluster {
    /// A new empty database; gives its url. The hint makes its name readable in logs.
    ///
    /// # Panics
    /// When Postgres refuses.
    pub async fn database(&self, name_hint: &str) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let readable =
            name_hint.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(40);
        let name = format!("{}_{number}", readable.collect::<String>().to_ascii_lowercase());
        or_fail(postgres::create_databases(&self.admin_url(), &[&name]).await);
        self.postgres.url(&name)
    }

    /// Leads to the database `postgres`, as the superuser.
    pub fn admin_url(&self) -> String {
        self.postgres.url("postgres")
    }

    pub fn postgres(&self) -> &Postgres {
        &self.postgres
    }

    /// Of Kafka: `127.0.0.1:PORT`.
    ///
    /// # Panics
    /// When Kafka cannot be provided.
    pub async fn brokers(&self) -> String {
        self.kafka().await.brokers()
    }

    /// # Panics
    /// When Kafka cannot be provided.
    pub async fn kafka(&self) -> &Kafka {
        let start = || {
            Kafka::start(kafka::Options {
                heap_mb: 256,
                throw_away: true,
                ..kafka::Options::new(self.folder.join("kafka"))
            })
        };
        or_fail(self.kafka.get_or_try_init(start).await)
    }

    async fn start() -> Result<Self, Error> {
        let folder = std::env::temp_dir().join(format!("saga-test-{:016x}", port::random()));
        let postgres = Postgres::start(postgres::Options {
            durable: false,
            shared_buffers_mb: 64,
            throw_away: true,
            ..postgres::Options::new(folder.join("postgres"))
        });
        match postgres.await {
            Ok(postgres) => {
                Ok(Self { postgres, kafka: OnceCell::new(), folder, databases: AtomicU32::new(1) })
            }
            Err(error) => {
                let _ = fs::remove_dir_all(&folder);
                Err(error)
            }
        }
    }
}

#[expect(clippy::panic, reason = "only tests come here, and without servers they can only fail")]
fn or_fail<T>(provided: Result<T, Error>) -> T {
    provided.unwrap_or_else(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        panic!("{error}{}", cause.unwrap_or_default())
    })
}
