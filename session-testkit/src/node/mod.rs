//! What every [`LockNode`] has to show.
//!
//! Implement [`NodeFixture`] and call [`lock_node_suite!`](crate::lock_node_suite).

#![expect(clippy::missing_panics_doc, reason = "a clause fails by panicking")]

mod acquiring;
mod admitting;
mod extending;
mod fences;
mod releasing;

pub use acquiring::*;
pub use admitting::*;
pub use extending::*;
pub use fences::*;
pub use releasing::*;

use std::{future::Future, time::Duration};

use session_lock::{
    Admission, Admitted, Held, LockNode, NodeAnswer, NodeRequest, OwnerValue, Resource, Ttl,
};

use crate::primary::ms;

/// What the suite needs to know of a node.
pub trait NodeFixture: Sized + Send + Sync + 'static {
    /// The node; clones share everything.
    type Node: LockNode + Clone;

    /// Whether the node tells when a lock is freed.
    const TELLS: bool = true;

    /// Makes what one test needs: a node that is new, or a part of a shared server that nothing else uses.
    fn fresh() -> impl Future<Output = Self> + Send;

    /// The node.
    fn node(&self) -> Self::Node;

    /// Lets that much time go by, as the node sees it.
    fn pass(&self, span: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(span)
    }

    /// What the node's clock says, as the time since 1970.
    fn unix_time(&self) -> impl Future<Output = Duration> + Send;

    /// Makes the node lose everything that it has stored.
    fn lose_data(&self) -> impl Future<Output = ()> + Send;

    /// Puts something under the name of a lock that is no lock.
    fn put_foreign(&self, resource: &Resource) -> impl Future<Output = ()> + Send;

    /// Whether what was put there stands unchanged.
    fn foreign_stands(&self, resource: &Resource) -> impl Future<Output = bool> + Send;

    /// Whatever the test has left to stay for ever, but for the marker, by name; asked for after each test.
    fn keys_without_ttl(&self) -> impl Future<Output = Vec<String>> + Send {
        async { Vec::new() }
    }
}

/// One named test for each clause of a node: `lock_node_suite!(MyFixture);`
///
/// Expands to tests of `tokio`, which has to be a dependency with its features `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! lock_node_suite {
    ($fixture:ty) => {
        $crate::suite! { $fixture, $crate::node, $crate::node::NodeFixture,
            #[tokio::test]
            a_free_lock_is_granted_for_its_full_ttl
            a_lock_is_granted_again_to_the_same_owner
            a_lock_that_ran_out_is_granted_to_the_next
            a_lock_under_another_owner_is_left_as_it_is
            a_name_may_be_of_any_bytes
            what_is_no_lock_stays_as_it_is
            a_cancelled_acquire_can_be_released
            every_grant_has_a_larger_fence
            a_fence_that_stands_grows_by_one
            a_fence_is_larger_than_the_requested_floor
            a_first_fence_starts_from_the_clock_if_allowed
            fences_of_two_resources_are_their_own
            raise_moves_the_fence_of_a_held_lock
            raise_never_moves_a_fence_down
            raise_without_the_lock_changes_nothing
            the_highest_fence_is_no_smaller_than_any
            no_fence_is_larger_than_the_largest_token
            extend_gives_the_full_ttl_again
            extend_without_the_lock_changes_nothing
            extend_answers_for_each_lease_in_order
            release_frees_the_lock
            release_without_the_lock_changes_nothing
            release_answers_for_each_lease_in_order
            a_release_is_told_to_every_watch_made_before
            a_watch_hears_nothing_of_other_resources
            a_node_that_is_not_admitted_grants_nothing
            the_first_use_admits_at_once
            a_first_use_after_somebody_has_waited_waits_too
            admission_waits_for_the_longest_ttl
            admission_waits_anew_when_data_are_lost_meanwhile
            admission_needs_a_floor
            admission_refuses_a_floor_from_another_wait
            fences_are_larger_than_every_floor_of_the_admission
            a_node_that_lost_its_data_is_not_admitted

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            many_tasks_are_granted_one_lock_at_a_time
        }
    };
}

/// Runs out while a test waits for it.
const SHORT: Duration = Duration::from_millis(300);
/// Outlives every test.
const LONG: Duration = Duration::from_secs(600);

fn ttl(span: Duration) -> Ttl {
    Ttl::new(span).expect("the TTL is valid")
}

fn resource(name: &str) -> Resource {
    Resource::new(name).expect("the name is valid")
}

fn held(name: &str) -> Held<Resource> {
    Held {
        resource: resource(name),
        owner: OwnerValue::random(),
    }
}

/// A request by somebody new, whose fence starts from zero.
fn request(name: &str, span: Duration) -> NodeRequest {
    NodeRequest {
        held: held(name),
        ttl: ttl(span),
        floor: 0,
        clock_floor: false,
    }
}

/// The node, admitted under the floor 0.
async fn admitted<F: NodeFixture>(fixture: &F) -> F::Node {
    let node = fixture.node();
    first_use(&node, 0).await;
    node
}

async fn first_use(node: &impl LockNode, floor: u64) {
    let admission = Admission {
        first_use: true,
        longest_ttl: ttl(LONG),
        floor: Some(floor),
        wait: None,
    };
    let admitted = node.admit(&admission).await;
    assert_eq!(admitted.expect("the node is there"), Admitted::Yes);
}

async fn acquire(node: &impl LockNode, request: &NodeRequest) -> NodeAnswer {
    let answer = node.acquire(request).await;
    answer.expect("the node is there")
}

/// The fence under which the lock was granted.
async fn grant(node: &impl LockNode, request: &NodeRequest) -> u64 {
    match acquire(node, request).await {
        NodeAnswer::Granted { fence } => fence,
        answer => panic!("not granted: {answer:?}"),
    }
}

/// How long the lock is held by somebody else.
async fn left(node: &impl LockNode, name: &str) -> Duration {
    match acquire(node, &request(name, SHORT)).await {
        NodeAnswer::Held { left } => left.expect("every lock has a TTL"),
        answer => panic!("it is not held: {answer:?}"),
    }
}

async fn release(node: &impl LockNode, held: &Held<Resource>) -> bool {
    let released = node.release(std::slice::from_ref(held)).await;
    released.expect("the node is there")[0]
}

/// Until a lock of [`SHORT`] has run out.
async fn run_out(fixture: &impl NodeFixture) {
    fixture.pass(SHORT + ms(100)).await;
}
