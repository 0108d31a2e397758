//! Whether a service takes requests, by the health protocol of gRPC.

use std::time::Duration;

use tonic::Request;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{clients::channel, failure::is_refused_connection};

/// What a service says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Health {
    Serving,
    /// It is there, but takes no requests.
    NotServing,
    /// It does not answer, and why.
    Down(String),
}

pub(super) async fn check(address: &str) -> Health {
    let Ok(channel) = channel(address) else { return Health::Down("no address".to_owned()) };
    let mut request = Request::new(HealthCheckRequest::default());
    request.set_timeout(PATIENCE);
    let mut client = HealthClient::new(channel);
    match tokio::time::timeout(PATIENCE, client.check(request)).await {
        Ok(Ok(response)) if response.get_ref().status() == ServingStatus::Serving => {
            Health::Serving
        }
        Ok(Ok(_)) => Health::NotServing,
        Ok(Err(status)) if is_refused_connection(&status) => {
            Health::Down("nothing listens there".to_owned())
        }
        Ok(Err(status)) => Health::Down(status.message().to_owned()),
        Err(_) => Health::Down("no answer in time".to_owned()),
    }
}

const PATIENCE: Duration = Duration::from_secs(2);
