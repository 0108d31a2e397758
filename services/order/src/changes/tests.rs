use crate::domain::Status;
use futures::FutureExt;

use super::*;

fn change(order_id: Uuid, status: Status) -> Change {
    Change { order_id, status, reason: String::new(), decided_at: None }
}

fn next(following: &mut Following) -> Option<Status> {
    following.next().now_or_never().map(|change| change.status)
}

#[tokio::test]
async fn who_follows_is_told_the_latest_change_once() {
    let (changes, id) = (Changes::default(), Uuid::now_v7());
    let mut following = changes.follow(id).unwrap();
    assert_eq!(next(&mut following), None);
    changes.tell(vec![change(Uuid::now_v7(), Status::Cancelled)]);
    assert_eq!(next(&mut following), None);
    changes.tell(vec![change(id, Status::Cancelling)]);
    changes.tell(vec![change(id, Status::Cancelled)]);
    assert_eq!(next(&mut following), Some(Status::Cancelled));
    assert_eq!(next(&mut following), None);
}

#[tokio::test]
async fn what_is_older_is_not_told() {
    let (changes, id) = (Changes::default(), Uuid::now_v7());
    let mut following = changes.follow(id).unwrap();
    changes.tell(vec![change(id, Status::Confirmed)]);
    assert_eq!(next(&mut following), Some(Status::Confirmed));
    changes.tell(vec![change(id, Status::Pending)]);
    assert_eq!(next(&mut following), None);
}

#[tokio::test]
async fn who_follows_later_is_told_what_others_know() {
    let (changes, id) = (Changes::default(), Uuid::now_v7());
    let _first = changes.follow(id).unwrap();
    changes.tell(vec![change(id, Status::Confirmed)]);
    assert_eq!(next(&mut changes.follow(id).unwrap()), Some(Status::Confirmed));
}

#[tokio::test]
async fn nothing_is_kept_when_nobody_follows() {
    let (changes, id) = (Changes::default(), Uuid::now_v7());
    let [one, other] = [(); 2].map(|()| changes.follow(id).unwrap());
    assert_eq!(changes.followed(), [id]);
    drop(one);
    assert_eq!(changes.followed(), [id]);
    drop(other);
    assert!(changes.followed().is_empty());
    assert_eq!(changes.lock().follower_count, 0);
}

#[test]
fn of_two_who_leave_together_one_is_the_last() {
    let changes = Changes::default();
    for _ in 0..2_000 {
        let id = Uuid::now_v7();
        let both = [(); 2].map(|()| changes.follow(id).unwrap());
        let together = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for following in both {
                let together = &together;
                scope.spawn(move || {
                    together.wait();
                    drop(following);
                });
            }
        });
    }
    assert!(changes.followed().is_empty());
}

#[tokio::test]
async fn there_is_a_limit_to_followers() {
    let changes = Changes::default();
    let all: Vec<_> = (0..MAX_FOLLOWERS).map(|_| changes.follow(Uuid::now_v7()).unwrap()).collect();
    assert!(matches!(changes.follow(Uuid::now_v7()), Err(Problem::Busy { .. })));
    drop(all);
    assert!(changes.follow(Uuid::now_v7()).is_ok());
}
