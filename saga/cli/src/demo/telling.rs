//! The demo in words and colours.

use proto::{
    order::OrderStatus,
    saga::{GetSagaResponse, Saga, StepStatus},
};

use super::{
    EXPECTED,
    scene::{Numbers, Played, Scene, both, numbers},
};
use crate::{
    advice::{here, typed},
    clients::Clients,
    failure::Failure,
    order,
    output::{Tone, lines, paint, print, table},
    story::{self, Moment},
    units,
};

pub(super) async fn tell(clients: &Clients) -> Result<(), Failure> {
    let scenes = both(clients).await?;
    let [works, declined] = &scenes;
    print(&opening())?;

    let before = numbers(clients, &scenes).await?;
    print(&heading(1, "an order that works", works))?;
    let confirmed = works.play(clients, print_moment).await?;
    print(&ending(&confirmed))?;

    let between = numbers(clients, &scenes).await?;
    print(&heading(2, "an order whose card is declined", declined))?;
    let cancelled = declined.play(clients, print_moment).await?;
    print(&ending(&cancelled))?;

    let after = numbers(clients, &scenes).await?;
    print(&summary(&scenes, &confirmed, &cancelled))?;
    print(&as_table(&scenes, &[before, between, after]))?;
    print(&closing(&confirmed, &cancelled))?;
    let [confirms, cancels] = EXPECTED;
    check(&confirmed, confirms)?;
    check(&cancelled, cancels)
}

fn opening() -> String {
    let drawing = "                  ┌─ reserve-stock ─────┐                   ┌─ capture-payment
   create-order ──┤                     ├── approve-order ──┤
                  └─ authorize-payment ─┘                   └─ commit-stock
   ╰──────── can be undone ─────────────╯   ╰─ decides ─╯   ╰─ must be done ─╯";
    format!(
        "\n{}\n   An order, its stock and its payment belong to three services with a database each.\n   \
         A saga takes the order through them, over Kafka; when a step is refused, it goes back.\n\n{}",
        paint(Tone::Strong, "One order, end to end"),
        paint(Tone::Dim, drawing)
    )
}

fn heading(number: u32, what: &str, scene: &Scene) -> String {
    let title = paint(Tone::Strong, &format!("{number}. {what}"));
    format!("\n{title}\n   {}, paid with {}\n", scene.goods(), scene.payment_method)
}

fn print_moment(moment: &Moment) -> Result<(), Failure> {
    print(&format!("   {}", moment.with_offset()))
}

fn ending(played: &Played) -> String {
    let saga = saga(&played.story);
    let took = units::between(saga.started_at.as_ref(), saga.ended_at.as_ref());
    let took = took.map(|took| format!(" after {}", units::brief(took))).unwrap_or_default();
    let (tone, status) = order::status(played.order.status());
    let status = status.to_uppercase();
    format!(
        "{:>11}     {} {}",
        "",
        paint(tone, &format!("→ order {status}{took}")),
        paint(Tone::Dim, &units::money(played.order.total.as_ref()))
    )
}

/// What happened, what was undone and why.
fn summary(scenes: &[Scene; 2], confirmed: &Played, cancelled: &Played) -> String {
    let [works, declined] = scenes;
    let undone: Vec<_> = cancelled
        .story
        .steps
        .iter()
        .filter(|step| step.status() == StepStatus::Compensated && step.kind != "start")
        .map(|step| step.name.as_str())
        .collect();
    let undone = if undone.is_empty() {
        "Nothing else had been done yet, so there was nothing else to undo.".to_owned()
    } else {
        let were = if undone.len() == 1 { "was" } else { "were" };
        format!(
            "What had been done by then, {}, {were} undone: {} can be sold to the next customer.",
            story::and(&undone),
            declined.goods()
        )
    };
    format!(
        "\n{}\n   \
         1. {} set aside and {} held on the card at the same time; then the order was\n      \
         approved, the money taken, and the goods left the house.\n   \
         2. {}.\n      {undone}\n      \
         The order was rejected with that reason, and the customer owes nothing.\n",
        paint(Tone::Strong, "What happened"),
        if works.quantity == 1 {
            format!("{} was", works.goods())
        } else {
            format!("{} were", works.goods())
        },
        units::money(confirmed.order.total.as_ref()),
        capitalised(&saga(&cancelled.story).cause),
    )
}

fn as_table(scenes: &[Scene; 2], numbers: &[Numbers; 3]) -> String {
    let mut table = table(&["", "BEFORE", "AFTER 1", "AFTER 2"]);
    let mut row = |name: String, of: &dyn Fn(&Numbers) -> String| {
        let mut cells = vec![name];
        cells.extend(numbers.iter().map(of));
        table.add_row(cells);
    };
    for (index, scene) in scenes.iter().enumerate() {
        let sku = &scene.item.sku;
        let nth =
            |amounts: &[i64; 2]| units::count(amounts.get(index).copied().unwrap_or_default());
        row(format!("{sku} in stock"), &|numbers| nth(&numbers.available));
        row(format!("{sku} set aside"), &|numbers| nth(&numbers.reserved));
    }
    row("money taken".to_owned(), &|numbers| numbers.captured.clone());
    row("money held".to_owned(), &|numbers| numbers.held.clone());
    let indented: Vec<_> = lines(&table).lines().map(|line| format!("   {line}")).collect();
    indented.join("\n")
}

fn closing(confirmed: &Played, cancelled: &Played) -> String {
    format!(
        "\n{}\n   {}   the confirmed one\n   {}   the undone one",
        paint(Tone::Strong, "Look closer"),
        typed(&format!("show {}", confirmed.order.order_id)),
        typed(&format!("show {}", cancelled.order.order_id))
    )
}

/// # Errors
/// The order ended in another way.
pub(super) fn check(played: &Played, expected: OrderStatus) -> Result<(), Failure> {
    if played.order.status() == expected {
        return Ok(());
    }
    let what = format!(
        "order {} is {}, not {}",
        played.order.order_id,
        order::status(played.order.status()).1,
        order::status(expected).1
    );
    Err(Failure::check(what)
        .why(story::sentence(&played.story, &units::now()))
        .next(format!("{} tells more", here(&format!("show {}", played.order.order_id)))))
}

fn saga(story: &GetSagaResponse) -> Saga {
    story.saga.clone().unwrap_or_default()
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
