use tonic::Code;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_caller_who_sends_nothing_for_long_is_not_waited_for() {
    let requests = stream::iter([Ok(1), Ok(2)]).chain(stream::pending());
    let read: Vec<_> = without_long_pauses(requests).collect().await;
    let codes: Vec<_> =
        read.into_iter().map(|request| request.map_err(|status| status.code())).collect();
    assert_eq!(codes, [Ok(1), Ok(2), Err(Code::DeadlineExceeded)]);
}
