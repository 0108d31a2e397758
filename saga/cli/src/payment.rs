//! What is held and taken for which order.

use proto::payment::{GetPaymentRequest, ListPaymentsRequest, Payment, PaymentStatus};

use crate::{
    clients::Clients,
    failure::Failure,
    output::{Format, Tone, lines, paint, table},
    pages, units,
};

/// Payments: list, show
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    List(ListArgs),
    Show(ShowArgs),
}

/// Payments, the newest first
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  saga payment list --limit 10
  saga payment list --status authorized --status pending")]
pub(crate) struct ListArgs {
    /// Only these
    #[arg(long, value_name = "STATUS")]
    status: Vec<Status>,
    /// At most so many
    #[arg(long, default_value_t = 50, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
}

/// The payment of one order
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  saga payment show ORDER-ID")]
pub(crate) struct ShowArgs {
    #[arg(value_name = "ORDER-ID")]
    order_id: String,
}

/// Where a payment stands.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Status {
    Pending,
    Authorized,
    Declined,
    Captured,
    Voided,
}

impl From<Status> for PaymentStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Pending => Self::Pending,
            Status::Authorized => Self::Authorized,
            Status::Declined => Self::Declined,
            Status::Captured => Self::Captured,
            Status::Voided => Self::Voided,
        }
    }
}

pub(crate) async fn run(
    command: Command,
    clients: &Clients,
    format: Format,
) -> Result<(), Failure> {
    match command {
        Command::List(args) => format.list(&list(args, clients).await?, as_table),
        Command::Show(ShowArgs { order_id }) => {
            let request = GetPaymentRequest { order_id };
            let found = clients
                .payments()?
                .ask(request, async |mut api, request| api.get_payment(request).await)
                .await?;
            format.one(&found.payment.unwrap_or_default(), as_text)
        }
    }
}

async fn list(args: ListArgs, clients: &Clients) -> Result<Vec<Payment>, Failure> {
    let payments = clients.payments()?;
    let statuses: Vec<_> =
        args.status.into_iter().map(|status| PaymentStatus::from(status).into()).collect();
    pages::up_to(args.limit, async |page_size, page_token| {
        let request = ListPaymentsRequest { page_size, page_token, statuses: statuses.clone() };
        let page = payments.ask(request, async |mut api, request| api.list_payments(request).await);
        page.await.map(|page| (page.payments, page.next_page_token))
    })
    .await
}

fn as_table(payments: &[Payment]) -> String {
    let mut table = table(&["ORDER", "STATUS", "AMOUNT", "METHOD", "ASKED (UTC)", "REASON"]);
    for payment in payments {
        table.add_row([
            payment.order_id.clone(),
            word(payment.status()).to_owned(),
            units::money(payment.amount.as_ref()),
            payment.payment_method.clone(),
            units::date(payment.asked_at.as_ref()),
            payment.reason.clone(),
        ]);
    }
    lines(&table)
}

fn as_text(payment: &Payment) -> String {
    let tone = match payment.status() {
        PaymentStatus::Captured => Tone::Good,
        PaymentStatus::Declined | PaymentStatus::Voided => Tone::Back,
        PaymentStatus::Unspecified | PaymentStatus::Pending | PaymentStatus::Authorized => {
            Tone::Plain
        }
    };
    let status = paint(tone, word(payment.status()));
    let mut text = format!(
        "{} of order {}: {status}\n  method {}, asked {} UTC",
        paint(Tone::Strong, &units::money(payment.amount.as_ref())),
        payment.order_id,
        payment.payment_method,
        units::date(payment.asked_at.as_ref()),
    );
    for (name, value) in [("authorization", &payment.authorization), ("reason", &payment.reason)] {
        if !value.is_empty() {
            text.push_str(&format!("\n  {name}: {value}"));
        }
    }
    text
}

fn word(status: PaymentStatus) -> &'static str {
    match status {
        PaymentStatus::Unspecified => "-",
        PaymentStatus::Pending => "pending",
        PaymentStatus::Authorized => "authorized",
        PaymentStatus::Declined => "declined",
        PaymentStatus::Captured => "captured",
        PaymentStatus::Voided => "voided",
    }
}
