use std::{
    sync::{Arc, Mutex},
    thread,
};

use session_lock::{
    FencingToken, Resource,
    fence::{HighestTokens, StaleToken},
};

use super::{assert_grows, paused_and_next, shuffled};
use crate::bench::Quorum;

#[tokio::test]
async fn a_holder_that_was_paused_is_refused() {
    let quorum = Quorum::of(3);
    let (paused, next) = paused_and_next(&quorum).await;
    let (tokens, file) = (HighestTokens::new(), &next.held().resource);
    let (early, late) = (next.fencing_token(), paused.fencing_token());
    assert_eq!(tokens.accept_then(file, early, || "written"), Ok("written"));
    let refused = StaleToken {
        token: late,
        highest: early,
    };
    let outcome = tokens.accept_then(file, late, || unreachable!());
    assert_eq!(outcome, Err::<(), _>(refused));
}

#[test]
fn writers_at_the_same_time_are_accepted_in_the_order_of_their_tokens() {
    let (tokens, file) = (HighestTokens::new(), Resource::new("file").unwrap());
    let written = Arc::new(Mutex::new(Vec::new()));
    let numbers = shuffled(20_000);
    thread::scope(|scope| {
        for part in numbers.chunks(5_000) {
            let (tokens, file, written) = (tokens.clone(), file.clone(), Arc::clone(&written));
            scope.spawn(move || {
                for number in part {
                    // Two steps: what lies between them is what the check has to rule out.
                    let write = || {
                        thread::yield_now();
                        written.lock().unwrap().push(*number);
                    };
                    tokens.accept_then(&file, FencingToken(*number), write).ok();
                }
            });
        }
    });
    assert_grows(&written.lock().unwrap(), 20_000);
}
