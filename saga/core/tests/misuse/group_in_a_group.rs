use proto::{
    order::{ApproveOrder, OrderPlaced, RejectOrder},
    payment::CapturePayment,
};
use saga_core::{Cause, Saga};

fn main() {
    Saga::define("place-order")
        .started_by("create-order", keep, reject)
        .pivot("approve-order", |_| ApproveOrder::default())
        .parallel(|group| {
            group
                .parallel(|inner| inner.retriable("a", |_| CapturePayment::default()))
                .retriable("b", |_| CapturePayment::default())
        })
        .build();
}

fn keep(event: OrderPlaced) -> String {
    event.order_id
}

fn reject(_: &String, _: &Cause) -> RejectOrder {
    RejectOrder::default()
}
