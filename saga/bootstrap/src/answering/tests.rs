use futures::FutureExt;
use tokio::sync::oneshot;

use super::spawned;
use crate::Problem;

#[tokio::test]
async fn work_is_finished_though_its_caller_goes_away() {
    let (done, finished) = oneshot::channel();
    let work = async {
        tokio::task::yield_now().await;
        done.send(()).unwrap();
        Ok::<_, Problem>(())
    };
    // Polled once, and dropped.
    assert!(spawned(work).now_or_never().is_none());
    finished.await.unwrap();
}
