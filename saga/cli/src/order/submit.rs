//! Submits orders, from flags or from a file.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use clap::builder::NonEmptyStringValueParser;
use futures::StreamExt;
use proto::order::{Order, OrderLine, OrderStatus, PlaceOrderRequest};
use tokio::time::Instant;
use uuid::Uuid;

use super::{as_line, as_text, check_confirmed, file, get, watch_unless_stuck};
use crate::{
    advice::here,
    clients::{Clients, Orders, Sagas},
    failure::Failure,
    output::{Format, print, talk},
    sagas, story, units,
};

/// Order something
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  saga order submit --sku SKU-1 --quantity 2 --watch
  saga order submit --line SKU-1=2 --line SKU-3=1
  saga order submit --sku SKU-1 --payment-method tok_declined --watch
  saga order submit --sku SKU-2 --count 100
  saga order submit --file order.json
  generate-orders | saga order submit --file - -o jsonl

Payment methods of the built-in gateway:
  tok_ok  approves      tok_declined  refuses      tok_silent  never answers
  tok_flaky  fails a few times first")]
pub(crate) struct Args {
    /// What to order; again for the next line
    #[arg(long, value_name = "SKU", conflicts_with = "file")]
    sku: Vec<String>,
    /// How many of it; again for the next line [default: 1]
    #[arg(
        long,
        value_name = "PIECES",
        requires = "sku",
        conflicts_with = "file",
        allow_negative_numbers = true
    )]
    quantity: Vec<u32>,
    /// What and how many of it, in one
    #[arg(long, value_name = "SKU=PIECES", value_parser = line, conflicts_with = "file")]
    line: Vec<OrderLine>,
    /// Orders as JSON: one object, an array, or one object a line; `-` reads stdin
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Token of the payment method [default: tok_ok]
    #[arg(long, value_name = "TOKEN")]
    payment_method: Option<String>,
    /// Who orders
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// Makes sending it again harmless [default: a new one for each order]
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    request_id: Option<String>,
    /// Submit so many of the same
    #[arg(long, default_value_t = 1, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// Follow the order to its saga's end, many until they are decided; exits with 7 when one is cancelled
    /// or stuck
    #[arg(long)]
    watch: bool,
}

fn line(text: &str) -> Result<OrderLine, String> {
    let wrong = || format!("'{text}' is no line; write it like SKU-1=2");
    let (sku, quantity) = text.rsplit_once('=').ok_or_else(wrong)?;
    let quantity = quantity.parse().map_err(|_| wrong())?;
    if sku.is_empty() { Err(wrong()) } else { Ok(OrderLine { sku: sku.to_owned(), quantity }) }
}

pub(super) async fn run(args: Args, clients: &Clients, format: Format) -> Result<(), Failure> {
    let follow = args.watch;
    let (total, mut requests) = requests(args)?;
    let orders = clients.orders()?;
    if total > 1 {
        let following = if follow { Some(clients.sagas()?) } else { None };
        return many(requests, total, following.as_ref(), &orders, format).await;
    }
    let order = place(&orders, requests.next().unwrap_or_default()).await?;
    if follow {
        let order_id = order.order_id.clone();
        let followed = follow_one(order, clients, &orders, format).await;
        return followed.map_err(|failure| failure.of_taken(&order_id));
    }
    format.one(&order, as_text)?;
    talk(&format!("\nfollow it with {}", here(&format!("watch {}", order.order_id))));
    Ok(())
}

/// Takes an order; it is pending when this returns.
pub(crate) async fn place(orders: &Orders, request: PlaceOrderRequest) -> Result<Order, Failure> {
    let request_id = request.request_id.clone();
    let taken = orders.ask(request, async |mut api, request| api.place_order(request).await).await;
    let taken = taken.map_err(|failure| failure.of_request(&request_id))?;
    Ok(taken.order.unwrap_or_default())
}

async fn follow_one(
    order: Order,
    clients: &Clients,
    orders: &Orders,
    format: Format,
) -> Result<(), Failure> {
    let order_id = order.order_id.clone();
    let sagas = clients.sagas()?;
    let decided = match format {
        Format::Table => {
            print(&as_line(&order))?;
            let tell = |moment: &story::Moment| print(&moment.with_offset());
            let story = sagas::follow(&sagas, &order_id, tell).await?;
            print(&story::sentence(&story, &units::now()))?;
            get(orders, order_id).await?
        }
        Format::Json | Format::Jsonl => {
            let tell = |order: &Order| format.event(order, as_line);
            watch_unless_stuck(orders, &sagas, order_id.clone(), tell).await?;
            // What is decided has to be done, too: it can be stuck there.
            sagas::follow(&sagas, &order_id, |_| Ok(())).await?;
            get(orders, order_id).await?
        }
    };
    check_confirmed(u32::from(decided.status() == OrderStatus::Cancelled), 1)
}

/// A bounded number at a time; what became of each is told as it becomes known.
///
/// An order that is refused, or stuck, keeps nobody else from ordering; a service that does not answer
/// does.
async fn many(
    requests: impl Iterator<Item = PlaceOrderRequest>,
    total: usize,
    following: Option<&Sagas>,
    orders: &Orders,
    format: Format,
) -> Result<(), Failure> {
    let goes_on = AtomicBool::new(true);
    let mut outcomes = futures::stream::iter(requests)
        .take_while(|_| std::future::ready(goes_on.load(Ordering::Relaxed)))
        .map(|request| submit(request, following, orders))
        .buffered(AT_A_TIME);
    let mut tally = Tally::default();
    let mut numbers = 1_usize..;
    let mut is_read = true;
    let mut ticks = tokio::time::interval_at(Instant::now() + QUIET_MAX, QUIET_MAX);
    loop {
        let outcome = tokio::select! {
            outcome = outcomes.next() => outcome,
            _ = ticks.tick() => {
                talk(&format!("waiting for order {} of {total}", numbers.start));
                continue;
            }
        };
        let (Some(outcome), Some(number)) = (outcome, numbers.next()) else { break };
        ticks.reset();
        if let Some(order) = &outcome.order
            && is_read
            && let Err(failure) = format.event(order, as_line)
        {
            // What was to be ordered is ordered, also for who reads no more than the first lines.
            if !failure.is_reader_gone() {
                return Err(failure);
            }
            is_read = false;
        }
        if let Some(failure) = &outcome.failure {
            talk(&format!("order {number}: {}", failure.text()));
            goes_on.fetch_and(failure.is_of_the_request(), Ordering::Relaxed);
        }
        tally.add(outcome);
    }
    tally.verdict(total)
}

const AT_A_TIME: usize = 32;
/// So long nothing is said while nothing becomes known.
const QUIET_MAX: Duration = Duration::from_secs(3);

/// What became of one order: it may be taken, and then fail to be followed.
#[derive(Debug, Default)]
struct Outcome {
    order: Option<Order>,
    failure: Option<Failure>,
}

async fn submit(request: PlaceOrderRequest, following: Option<&Sagas>, orders: &Orders) -> Outcome {
    let order = match place(orders, request).await {
        Ok(order) => order,
        Err(failure) => return Outcome { order: None, failure: Some(failure) },
    };
    let Some(sagas) = following else {
        return Outcome { order: Some(order), failure: None };
    };
    match watch_unless_stuck(orders, sagas, order.order_id.clone(), |_| Ok(())).await {
        Ok(decided) => Outcome { order: Some(decided), failure: None },
        Err(failure) => {
            let failure = failure.of_taken(&order.order_id);
            Outcome { order: Some(order), failure: Some(failure) }
        }
    }
}

/// What became of all of them.
#[derive(Debug, Default)]
struct Tally {
    taken: usize,
    cancelled: u32,
    not_taken: usize,
    /// Nobody said.
    unknown: usize,
    /// Taken, and then stuck, or lost from sight.
    not_followed: usize,
    /// The first that is not only about its own order, else the first.
    worst: Option<Failure>,
}

impl Tally {
    fn add(&mut self, Outcome { order, failure }: Outcome) {
        let is_cancelled = |order: &Order| order.status() == OrderStatus::Cancelled;
        self.taken += usize::from(order.is_some());
        let is_unknown = order.is_none() && failure.as_ref().is_some_and(Failure::may_be_done);
        self.unknown += usize::from(is_unknown);
        self.not_taken += usize::from(order.is_none() && !is_unknown);
        self.not_followed += usize::from(order.is_some() && failure.is_some());
        self.cancelled += u32::from(order.as_ref().is_some_and(is_cancelled));
        if let Some(failure) = failure
            && self
                .worst
                .as_ref()
                .is_none_or(|worst| worst.is_of_the_request() && !failure.is_of_the_request())
        {
            self.worst = Some(failure);
        }
    }

    fn verdict(self, total: usize) -> Result<(), Failure> {
        let Self { taken, cancelled, not_taken, unknown, not_followed, worst } = self;
        let mut text = format!("{} orders taken", units::count(taken as u64));
        for (number, what) in [
            (not_followed, "of them not followed to their end"),
            (not_taken, "not taken"),
            (unknown, "perhaps taken"),
            (total - taken - not_taken - unknown, "not sent"),
        ] {
            if number > 0 {
                text.push_str(&format!(", {} {what}", units::count(number as u64)));
            }
        }
        match worst {
            Some(worst) => Err(worst.summed_up(text)),
            None => {
                talk(&text);
                check_confirmed(cancelled, u32::try_from(total).unwrap_or(u32::MAX))
            }
        }
    }
}

/// What is to be sent, each with a request id of its own.
fn requests(args: Args) -> Result<(usize, impl Iterator<Item = PlaceOrderRequest>), Failure> {
    let orders = match &args.file {
        Some(path) => file::read(path)?,
        None => vec![PlaceOrderRequest {
            lines: lines(args.sku, args.quantity, args.line)?,
            ..PlaceOrderRequest::default()
        }],
    };
    let total = orders.len().saturating_mul(args.count as usize);
    let numbered = orders.into_iter().cycle().zip(1..=total);
    let requests = numbered.map(move |(mut order, number)| {
        if let Some(customer) = &args.customer {
            order.customer_id.clone_from(customer);
        }
        if let Some(payment_method) = &args.payment_method {
            order.payment_method.clone_from(payment_method);
        } else if order.payment_method.is_empty() {
            file::PAYMENT_METHOD.clone_into(&mut order.payment_method);
        }
        // Those of a file are different already, unless it is sent several times.
        let (given, is_for_one) = match &args.request_id {
            Some(request_id) => (request_id, total == 1),
            None => (&order.request_id, args.count == 1),
        };
        order.request_id = match given.as_str() {
            "" => Uuid::now_v7().to_string(),
            given if is_for_one => given.to_owned(),
            given => format!("{given}-{number}"),
        };
        order
    });
    Ok((total, requests))
}

fn lines(
    skus: Vec<String>,
    quantities: Vec<u32>,
    lines: Vec<OrderLine>,
) -> Result<Vec<OrderLine>, Failure> {
    if !quantities.is_empty() && quantities.len() != skus.len() {
        let what = format!("{} × --sku, but {} × --quantity", skus.len(), quantities.len());
        let next = "give each --sku its --quantity or none of them, or write --line SKU-1=2";
        return Err(Failure::usage(what).next(next));
    }
    let quantities = quantities.into_iter().chain(std::iter::repeat(1));
    let pairs = skus.into_iter().zip(quantities);
    let mut all: Vec<_> = pairs.map(|(sku, quantity)| OrderLine { sku, quantity }).collect();
    all.extend(lines);
    if all.is_empty() {
        let stock = here("stock list");
        let next = format!("add --sku SKU-1, or --file; {stock} shows what there is");
        return Err(Failure::usage("there is nothing to order").next(next));
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
