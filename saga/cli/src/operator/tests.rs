use proto::saga::{Saga, Step};

use super::*;

fn story(steps: &[&str]) -> GetSagaResponse {
    let step = |name: &&str| Step { name: (*name).to_owned(), ..Step::default() };
    let saga = Saga { definition: "place-order".to_owned(), ..Saga::default() };
    GetSagaResponse {
        saga: Some(saga),
        steps: steps.iter().map(step).collect(),
        ..GetSagaResponse::default()
    }
}

#[test]
fn who_skips_a_step_that_is_not_there_is_told_which_are() {
    let story = story(&["reserve-stock", "commit-stock"]);
    assert!(check_has_step(&story, "commit-stock").is_ok());

    let refused = check_has_step(&story, "comit-stock").unwrap_err();
    assert_eq!(refused.exit_code(), 3);
    let told = refused.text();
    assert!(told.contains("saga place-order has no step 'comit-stock'"), "{told}");
    assert!(told.contains("name one of reserve-stock, commit-stock"), "{told}");
}

#[test]
fn steps_that_nobody_tells_are_not_judged() {
    assert!(check_has_step(&story(&[]), "commit-stock").is_ok());
}
