//! The four services in this process, each with the settings it would have in its own.

use std::{ffi::OsString, time::Duration};

use bootstrap::{Common, Tasks};
use clap::{Parser, builder::Resettable};
use tokio_util::sync::CancellationToken;

use super::database;
use crate::{clients::Addresses, failure::Failure};

/// For reading the settings that all services share.
#[derive(Debug, Parser)]
pub(super) struct OnlyCommon {
    #[command(flatten)]
    pub(super) common: Common,
}

/// The services with their settings.
#[derive(Debug)]
pub(super) struct Services {
    coordinator: saga_coordinator::Config,
    order: order_service::Config,
    inventory: inventory_service::Config,
    payment: payment_service::Config,
    deadline: Duration,
}

impl Services {
    pub(super) fn new(
        addresses: &Addresses,
        database_url: &str,
        common: &Common,
    ) -> Result<Self, Failure> {
        let flags = |address: &str, database: &str| -> Result<Vec<String>, Failure> {
            let url = database::url_of(database_url, database)?;
            Ok(vec![format!("--listen={address}"), format!("--database-url={url}")])
        };
        let mut coordinator: saga_coordinator::Config =
            parse(flags(&addresses.coordinator, "saga")?)?;
        let mut order: order_service::Config = parse(flags(&addresses.order, "order")?)?;
        let mut inventory: inventory_service::Config =
            parse(flags(&addresses.inventory, "inventory")?)?;
        let mut payment: payment_service::Config = parse(flags(&addresses.payment, "payment")?)?;
        inventory.demo_catalog = true;
        for of_service in
            [&mut coordinator.common, &mut order.common, &mut inventory.common, &mut payment.common]
        {
            of_service.clone_from(common);
        }
        let deadline = common.shutdown_deadline;
        Ok(Self { coordinator, order, inventory, payment, deadline })
    }

    /// Runs them until `stop`; the first that fails stops the others.
    pub(super) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        // A service gets its whole deadline before it is given up here.
        Tasks::new(stop.clone(), self.deadline + DEADLINE_GRACE)
            .run("saga-coordinator", saga_coordinator::run(self.coordinator, stop.clone()))
            .run("order-service", order_service::run(self.order, stop.clone()))
            .run("inventory-service", inventory_service::run(self.inventory, stop.clone()))
            .run("payment-service", payment_service::run(self.payment, stop))
            .until_stopped()
            .await
    }
}

const DEADLINE_GRACE: Duration = Duration::from_secs(2);

/// Settings from flags, with the defaults that the service itself knows. Variables were read before.
pub(super) fn parse<C: Parser>(flags: Vec<String>) -> Result<C, Failure> {
    let name = OsString::from("saga");
    let args = std::iter::once(name).chain(flags.into_iter().map(OsString::from));
    let command = C::command().mut_args(|arg| arg.env(Resettable::Reset));
    let parsed = command.try_get_matches_from(args).and_then(|args| C::from_arg_matches(&args));
    parsed.map_err(|error| {
        Failure::usage("the settings of the services are wrong").why(error.to_string())
    })
}
