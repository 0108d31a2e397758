use super::*;

fn charge(method: &str, try_number: u32) -> Charge {
    let (currency, method) = ("EUR".to_owned(), method.to_owned());
    Charge { order_id: Uuid::now_v7(), amount_minor: 100, currency, method, try_number }
}

#[tokio::test]
async fn a_flaky_gateway_approves_at_the_fourth_try() {
    for try_number in 1..=3 {
        TokenGateway.authorize(&charge("tok_flaky", try_number)).await.unwrap_err();
    }
    let outcome = TokenGateway.authorize(&charge("tok_flaky", 4)).await.unwrap();
    assert!(matches!(outcome, Outcome::Approved { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_silent_gateway_never_answers() {
    let day = std::time::Duration::from_hours(24);
    let charge = charge("tok_silent", 1);
    let asked = tokio::time::timeout(day, TokenGateway.authorize(&charge)).await;
    assert!(asked.is_err());
}

#[tokio::test]
async fn asked_twice_it_says_the_same() {
    for method in ["tok_ok", "tok_declined", "tok_gold"] {
        let charge = charge(method, 1);
        let at_once = TokenGateway.at_once(&charge).unwrap();
        assert_eq!(TokenGateway.authorize(&charge).await, Ok(at_once));
    }
}
