//! Whether the services of a process take requests, for gRPC health checks and `/healthz`.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic_health::{
    ServingStatus,
    pb::health_server::{Health as HealthService, HealthServer},
    server::{HealthReporter, HealthService as Statuses},
};

/// Flips what the health checks of a server answer; clones flip the same server.
#[derive(Debug, Clone)]
pub struct Health {
    reporter: HealthReporter,
    is_serving: Arc<AtomicBool>,
    services: Arc<OnceLock<Vec<&'static str>>>,
}

impl Health {
    pub(super) fn new() -> Self {
        Self {
            reporter: HealthReporter::new(),
            is_serving: Arc::new(AtomicBool::new(false)),
            services: Arc::new(OnceLock::new()),
        }
    }

    /// The process takes requests.
    pub async fn serving(&self) {
        self.is_serving.store(true, Ordering::Relaxed);
        self.report(ServingStatus::Serving).await;
    }

    /// Takes requests while `ready` says so. Ends with the process, as a part of it.
    ///
    /// # Errors
    /// None; it has the shape of the other parts.
    pub async fn serving_while(
        self,
        mut ready: watch::Receiver<bool>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let follow = async {
            loop {
                if *ready.borrow_and_update() {
                    self.serving().await;
                } else if self.is_serving() {
                    self.not_serving().await;
                }
                if ready.changed().await.is_err() {
                    // Whoever said so has ended: the process follows.
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            biased;
            // What stops may say of itself that it is not waited for any more.
            () = shutdown.cancelled() => {}
            () = follow => {}
        }
        Ok(())
    }

    /// The process should get no new requests.
    pub async fn not_serving(&self) {
        self.is_serving.store(false, Ordering::Relaxed);
        self.report(ServingStatus::NotServing).await;
    }

    /// Whether the process takes requests.
    pub fn is_serving(&self) -> bool {
        self.is_serving.load(Ordering::Relaxed)
    }

    /// Reports for these services from now on, besides the whole server.
    pub(super) async fn know(&self, services: &[&'static str]) {
        self.services.get_or_init(|| services.to_vec());
        let status =
            if self.is_serving() { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.report(status).await;
    }

    pub(super) fn service(&self) -> HealthServer<impl HealthService> {
        HealthServer::new(Statuses::from_health_reporter(self.reporter.clone()))
    }

    async fn report(&self, status: ServingStatus) {
        for service in self.services.get().into_iter().flatten() {
            self.reporter.set_service_status(service, status).await;
        }
        self.reporter.set_service_status(WHOLE_SERVER, status).await;
    }
}

const WHOLE_SERVER: &str = "";
