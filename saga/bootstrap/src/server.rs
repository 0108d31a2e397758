//! gRPC services with their health and reflection, and `/metrics` and `/healthz` over plain HTTP,
//! all on one port.

mod guard;
mod health;
mod methods;
mod plain;
mod stream_end;

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use axum::response::IntoResponse;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{
    body::Body, codegen::http::Request, server::NamedService, service::Routes,
    transport::server::TcpIncoming,
};

use guard::Guard;
pub use health::Health;
use methods::Methods;

/// The server of one process. Requests have a deadline, their number a limit, and a panic in one
/// is an answer `INTERNAL` to that one.
#[derive(Debug)]
pub struct Server {
    service: &'static str,
    descriptor_set: &'static [u8],
    routes: Routes,
    names: Vec<&'static str>,
    health: Health,
    serves_at_once: bool,
    shutdown_deadline: Duration,
}

impl Server {
    /// `descriptor_set` is the encoded `FileDescriptorSet` that holds the services to be added.
    pub fn new(service: &'static str, descriptor_set: &'static [u8]) -> Self {
        Self {
            service,
            descriptor_set,
            routes: Routes::default(),
            names: Vec::new(),
            health: Health::new(),
            serves_at_once: true,
            shutdown_deadline: SHUTDOWN_DEADLINE,
        }
    }

    /// Adds a gRPC service, which is listed by reflection and has its own health.
    /// Limits on message sizes are the service's own: 4 MiB to decode unless it says otherwise.
    #[expect(clippy::should_implement_trait, reason = "adds a service, not a number")]
    pub fn add<S>(mut self, service: S) -> Self
    where
        S: tower::Service<Request<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: IntoResponse,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        self.routes = self.routes.add_service(service);
        self
    }

    /// Reports `NOT_SERVING` until [`Health::serving`] is called; without this, services serve as
    /// soon as the port listens.
    pub fn not_ready_yet(mut self) -> Self {
        self.serves_at_once = false;
        self
    }

    /// How long the process may take to stop after shutdown was asked for; 10 s unless set.
    /// Requests get nine tenths of it, so that dropping the last ones is still an end in time.
    pub fn shutdown_deadline(mut self, deadline: Duration) -> Self {
        self.shutdown_deadline = deadline;
        self
    }

    /// What the health checks answer.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Listens at `listen` and serves until `shutdown`.
    ///
    /// # Errors
    /// An address that cannot be listened at, or a descriptor set that cannot be read.
    pub async fn serve(
        self,
        listen: SocketAddr,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let listener = bind(listen).await?;
        self.serve_on(listener, shutdown).await
    }

    /// Serves on a listener from [`bind`] until `shutdown`, then stops accepting and lets requests
    /// end; streams that wait for something to happen end with `UNAVAILABLE`.
    ///
    /// # Errors
    /// A descriptor set that cannot be read.
    pub async fn serve_on(
        self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let address = listener.local_addr()?;
        let end_streams = CancellationToken::new();
        let guard = Guard::new(Methods::read(self.descriptor_set)?, end_streams.clone());
        let routes = with_reflection(self.routes, &self.names, self.descriptor_set)?
            .add_service(self.health.service());
        let router = plain::routes(routes.into_axum_router(), self.health.clone());
        let router =
            router.layer(axum::middleware::from_fn_with_state(Arc::new(guard), guard::guard));

        let incoming = incoming(listener);
        let (stopped, stop) = (shutdown.clone(), shutdown.clone());
        let serving = limited()
            .add_routes(Routes::from(router))
            .serve_with_incoming_shutdown(incoming, shutdown.cancelled_owned());

        self.health.know(&self.names).await;
        if self.serves_at_once {
            self.health.serving().await;
        }
        tracing::info!(service = self.service, %address, "listening");

        let health = self.health;
        let stopping = async {
            stop.cancelled().await;
            health.not_serving().await;
            tokio::time::sleep(STREAM_GRACE).await;
            end_streams.cancel();
            std::future::pending::<()>().await;
        };
        // Without it a connection that never ends holds the process for an hour (hyper#4170).
        let too_late = async {
            stopped.cancelled().await;
            tokio::time::sleep(self.shutdown_deadline * 9 / 10).await;
        };
        tokio::select! {
            served = serving => served.context("serving")?,
            () = stopping => {}
            () = too_late => {
                tracing::warn!(service = self.service, "requests did not end in time and are dropped");
            }
        }
        Ok(())
    }
}

/// A listener at `listen`; port 0 takes a free one.
///
/// # Errors
/// An address that is taken, not of this machine, or not allowed.
pub async fn bind(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(listen).await.with_context(|| {
        format!("cannot listen at {listen}; stop what does, or choose another address")
    })
}

fn with_reflection(
    routes: Routes,
    names: &[&str],
    descriptor_set: &[u8],
) -> anyhow::Result<Routes> {
    let builder = || {
        let builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(descriptor_set)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // Errors carry these messages, and grpcurl asks for what it does not know.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("grpc.health.v1.Health");
        names.iter().fold(builder, |builder, name| builder.with_service_name(*name))
    };
    let v1 = builder().with_service_name("grpc.reflection.v1.ServerReflection").build_v1();
    let v1alpha =
        builder().with_service_name("grpc.reflection.v1alpha.ServerReflection").build_v1alpha();
    let routes = routes.add_service(v1.context("reading the descriptor set")?);
    Ok(routes.add_service(v1alpha.context("reading the descriptor set")?))
}

/// Answers are small, and wait for nothing.
fn incoming(listener: TcpListener) -> TcpIncoming {
    TcpIncoming::from(listener).with_nodelay(Some(true)).with_keepalive(Some(TCP_KEEPALIVE))
}

/// tonic limits nothing unless told.
fn limited() -> tonic::transport::Server {
    tonic::transport::Server::builder()
        .accept_http1(true)
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_connection_age(MAX_CONNECTION_AGE)
        .http2_keepalive_interval(Some(HTTP2_KEEPALIVE))
        .http2_keepalive_timeout(Some(HTTP2_KEEPALIVE_TIMEOUT))
        .http2_max_header_list_size(MAX_HEADER_BYTES)
}

const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(10);
/// What streams get to end by themselves before they are ended.
const STREAM_GRACE: Duration = Duration::from_millis(500);
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);
const HTTP2_KEEPALIVE: Duration = Duration::from_secs(20);
const HTTP2_KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Clients reconnect now and then, so that load finds its way to new processes.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(30 * 60);
/// A caller's stream that is not read from has to stop at its window: h2 closes the connection of
/// one that has sent many small frames which nobody read, and how many is half of the connection's
/// window.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Per connection.
const MAX_STREAMS: u32 = 1024;
const MAX_HEADER_BYTES: u32 = 16 * 1024;

#[cfg(test)]
mod tests;
