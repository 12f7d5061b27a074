use std::time::Duration;

use session_core::{Allowance, CountedName, Limit, UseCounter};

use super::CounterFixture;

fn name() -> CountedName {
    CountedName::new("account", "ada")
}

fn of(uses: u32, fixture: &impl CounterFixture) -> Limit {
    Limit::new(uses, fixture.window()).expect("the fixture's window is in range")
}

fn growing(uses: u32, times: u32, fixture: &impl CounterFixture) -> Limit {
    let limit = of(uses, fixture).growing_to(fixture.window() * times);
    limit.expect("the fixture's window is in range")
}

/// Takes a use; how many are left.
async fn granted(fixture: &impl CounterFixture, limit: &Limit) -> u32 {
    match fixture.counter().take(&name(), limit).await {
        Ok(Allowance::Granted { left }) => left,
        other => panic!("not granted: {other:?}"),
    }
}

/// Is refused a use; when to come again.
async fn refused(fixture: &impl CounterFixture, limit: &Limit) -> Duration {
    match fixture.counter().take(&name(), limit).await {
        Ok(Allowance::Refused { retry_after }) => retry_after,
        other => panic!("not refused: {other:?}"),
    }
}

/// Lets the window end.
async fn next_window(fixture: &impl CounterFixture, left: Duration) {
    fixture.pass(left + Duration::from_millis(10)).await;
}

/// Clause 1.
pub async fn as_many_uses_are_granted_as_there_are<F: CounterFixture>(fixture: &F) {
    let limit = of(3, fixture);
    for left in [2, 1, 0] {
        assert_eq!(granted(fixture, &limit).await, left);
    }
    refused(fixture, &limit).await;
}

/// Clause 1.
pub async fn a_refusal_counts_nothing_and_says_when_the_window_ends<F: CounterFixture>(
    fixture: &F,
) {
    let limit = of(1, fixture);
    granted(fixture, &limit).await;
    let first = refused(fixture, &limit).await;
    assert!(
        first > Duration::ZERO && first <= limit.window(),
        "{first:?}"
    );
    let second = refused(fixture, &limit).await;
    assert!(second <= first, "the window is not longer for it");
    next_window(fixture, second).await;
    granted(fixture, &limit).await;
}

/// Clause 2.
pub async fn no_more_are_granted_to_takes_at_the_same_moment<F: CounterFixture>(fixture: &F) {
    let limit = of(5, fixture);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let counter = fixture.counter();
        tasks.spawn(async move { counter.take(&name(), &limit).await });
    }
    let answers = tasks.join_all().await;
    let granted = answers.iter().filter(|answer| {
        let answer = answer.as_ref().expect("the counter works");
        matches!(answer, Allowance::Granted { .. })
    });
    assert_eq!(granted.count(), 5);
}

/// Clause 6.
pub async fn names_are_counted_apart<F: CounterFixture>(fixture: &F) {
    let limit = of(1, fixture);
    granted(fixture, &limit).await;
    for other in [
        CountedName::new("account", "grace"),
        CountedName::new("address", "ada"),
    ] {
        let answer = fixture.counter().take(&other, &limit).await;
        assert!(matches!(answer, Ok(Allowance::Granted { left: 0 })));
    }
    refused(fixture, &limit).await;
}

/// Clause 3.
pub async fn a_new_window_grants_again<F: CounterFixture>(fixture: &F) {
    let limit = of(2, fixture);
    granted(fixture, &limit).await;
    granted(fixture, &limit).await;
    let left = refused(fixture, &limit).await;
    next_window(fixture, left).await;
    assert_eq!(granted(fixture, &limit).await, 1);
}

/// Clause 3.
pub async fn a_window_that_follows_one_that_was_used_up_is_longer<F: CounterFixture>(fixture: &F) {
    let limit = growing(1, 8, fixture);
    granted(fixture, &limit).await;
    let first = refused(fixture, &limit).await;
    assert!(first <= limit.window());
    next_window(fixture, first).await;
    granted(fixture, &limit).await;
    let second = refused(fixture, &limit).await;
    assert!(
        second > limit.window() && second <= limit.window() * 2,
        "{second:?}"
    );
}

/// Clause 3.
pub async fn windows_become_no_longer_than_the_longest<F: CounterFixture>(fixture: &F) {
    // Less than twice as long.
    let limit = of(1, fixture)
        .growing_to(fixture.window() * 3 / 2)
        .expect("the fixture's window is in range");
    granted(fixture, &limit).await;
    let first = refused(fixture, &limit).await;
    next_window(fixture, first).await;
    granted(fixture, &limit).await;
    let second = refused(fixture, &limit).await;
    assert!(second <= limit.longest(), "{second:?}");
}

/// Clause 3.
pub async fn a_window_that_was_not_used_up_is_followed_by_a_short_one<F: CounterFixture>(
    fixture: &F,
) {
    let limit = growing(2, 8, fixture);
    granted(fixture, &limit).await;
    next_window(fixture, limit.window()).await;
    granted(fixture, &limit).await;
    granted(fixture, &limit).await;
    let left = refused(fixture, &limit).await;
    assert!(left <= limit.window(), "{left:?}");
}

/// Clause 3.
pub async fn windows_of_a_limit_that_does_not_grow_are_of_one_length<F: CounterFixture>(
    fixture: &F,
) {
    let limit = of(1, fixture);
    for _ in 0..2 {
        granted(fixture, &limit).await;
        let left = refused(fixture, &limit).await;
        assert!(left <= limit.window(), "{left:?}");
        next_window(fixture, left).await;
    }
}

/// Clause 4.
pub async fn what_is_given_back_is_granted_again_once<F: CounterFixture>(fixture: &F) {
    let limit = of(2, fixture);
    granted(fixture, &limit).await;
    granted(fixture, &limit).await;
    let counter = fixture.counter();
    counter.give_back(&name(), &limit).await.expect("it works");
    assert_eq!(granted(fixture, &limit).await, 0);
    refused(fixture, &limit).await;
}

/// Clause 4.
pub async fn what_was_never_taken_cannot_be_given_back<F: CounterFixture>(fixture: &F) {
    let limit = of(1, fixture);
    let counter = fixture.counter();
    counter.give_back(&name(), &limit).await.expect("it works");
    granted(fixture, &limit).await;
    for _ in 0..3 {
        counter.give_back(&name(), &limit).await.expect("it works");
    }
    granted(fixture, &limit).await;
    refused(fixture, &limit).await;
}

/// Clause 4.
pub async fn what_is_forgotten_is_granted_again<F: CounterFixture>(fixture: &F) {
    let limit = growing(1, 8, fixture);
    granted(fixture, &limit).await;
    let left = refused(fixture, &limit).await;
    next_window(fixture, left).await;
    granted(fixture, &limit).await;
    let counter = fixture.counter();
    counter.forget(&name()).await.expect("it works");
    counter.forget(&name()).await.expect("it works twice");
    granted(fixture, &limit).await;
    let left = refused(fixture, &limit).await;
    assert!(
        left <= limit.window(),
        "what has grown is forgotten: {left:?}"
    );
}

/// Clause 5.
pub async fn looking_counts_nothing<F: CounterFixture>(fixture: &F) {
    let limit = of(1, fixture);
    let counter = fixture.counter();
    for _ in 0..3 {
        let answer = counter.look(&name(), &limit).await;
        assert!(
            matches!(answer, Ok(Allowance::Granted { left: 1 })),
            "{answer:?}"
        );
    }
    granted(fixture, &limit).await;
    let answer = counter.look(&name(), &limit).await;
    assert!(
        matches!(answer, Ok(Allowance::Refused { .. })),
        "{answer:?}"
    );
}
