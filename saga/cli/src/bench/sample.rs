//! Where the time of a sample of orders went, as their journals tell.

use futures::{StreamExt, TryStreamExt};
use uuid::Uuid;

use crate::{
    clients::Sagas,
    failure::Failure,
    sagas::get,
    story::{Journey, journeys},
};

/// Every answered command of these orders.
pub(super) async fn read(sagas: &Sagas, orders: &[Uuid]) -> Result<Vec<Journey>, Failure> {
    let stories: Vec<_> = futures::stream::iter(orders)
        .map(|id| get(sagas, id.to_string()))
        .buffer_unordered(AT_A_TIME)
        .try_collect()
        .await?;
    Ok(stories.iter().flat_map(journeys).collect())
}

const AT_A_TIME: usize = 8;
