use std::{sync::Arc, time::Duration};

use shuttle::future::{spawn, yield_now};
use tokio::sync::Notify;

use super::{
    World, chance,
    member::{Act, Member},
    schedules,
    server::SaveFault,
};

#[test]
fn guards_that_follow_each_other_lose_nothing() {
    schedules(3_000, || {
        let world = World::new(2);
        let members = world.members(7, Act::any);
        world.run(members);
    });
}

/// While it waits for the lock, works, or waits for its commit.
#[test]
fn whoever_is_cancelled_harms_nobody_else() {
    schedules(3_000, || {
        let world = World::new(2);
        let mut members = world.members(7, Act::any);
        for member in &mut members {
            member.patience = (chance::below(3) == 0).then(|| 1 + chance::below(8));
            member.interest = (chance::below(2) == 0).then(|| 1 + chance::below(4));
        }
        world.run(members);
    });
}

/// What was built on it is refused as well, and nobody goes on from there.
#[test]
fn a_save_that_fails_is_told_to_all_who_built_on_it() {
    use SaveFault::{AnswerLost, Refused, RequestLost};
    schedules(3_000, || {
        let world = World::new(2);
        let fault = *chance::one_of(&[AnswerLost, Refused, RequestLost]);
        world.server.save_fails(fault, chance::below(3));
        let members = world.members(7, Act::any);
        world.run(members);
    });
}

#[test]
fn a_lock_that_is_deleted_half_way_loses_nothing_unnoticed() {
    schedules(3_000, || {
        let world = World::new(2);
        let server = Arc::clone(&world.server);
        spawn(async move {
            for _ in 0..chance::below(60) {
                yield_now().await;
            }
            server.lose_lock();
        });
        let members = world.members(7, Act::any);
        world.run(members);
    });
}

#[test]
fn a_lease_that_runs_out_half_way_loses_nothing_unnoticed() {
    schedules(2_000, || {
        let world = World::with_ttl(2, Duration::from_millis(20));
        let members = world.members(7, Act::any);
        world.run(members);
    });
}

/// And so the next guard may take as long as it wants.
#[test]
fn a_commit_does_not_wait_for_the_next_guards_code() {
    schedules(1_000, || {
        let world = World::new(1);
        let (held, in_line, committed) = <(Arc<Notify>, Arc<Notify>, Arc<Notify>)>::default();
        let [first, next] = [0, 1].map(|number| {
            let member = Member::new(number, &world.processes[0], Act::Commit);
            (
                member,
                Arc::clone(&held),
                Arc::clone(&in_line),
                Arc::clone(&committed),
            )
        });
        let first = spawn(async move {
            let (member, held, in_line, committed) = first;
            let granted = member.lock(&held).await.unwrap();
            in_line.notified().await;
            member.end(granted.lease, granted.stored).await;
            committed.notify_one();
        });
        let next = spawn(async move {
            let (member, held, in_line, committed) = next;
            held.notified().await;
            let granted = member.lock(&in_line).await.unwrap();
            committed.notified().await;
            member.end(granted.lease, granted.stored).await;
        });
        world.see_through(vec![first, next]);
    });
}

#[test]
fn a_lease_that_has_run_out_is_not_passed_on() {
    const TTL: Duration = Duration::from_secs(60);
    // Shorter than a cohort goes on.
    const SHORT: Duration = Duration::from_millis(4);
    schedules(500, || {
        let world = World::with_ttl(1, TTL);
        let member = |number, act| Member::new(number, &world.processes[0], act);
        let first = member(0, Act::Commit);
        let second = member(1, Act::Drop);
        let third = member(2, Act::Discard);
        let (two_wait, all_wait) = <(Arc<Notify>, Arc<Notify>)>::default();
        let (clock, later) = (world.clock.clone(), world.clock.clone());
        let all = spawn(async move {
            let line = Notify::new();
            let first_granted = first.lock(&line).await.unwrap();
            let second = spawn({
                let (two_wait, all_wait) = (Arc::clone(&two_wait), Arc::clone(&all_wait));
                async move {
                    let granted = second.lock(&two_wait).await.unwrap();
                    all_wait.notified().await;
                    later.advance(SHORT * 2);
                    second.end(granted.lease, granted.stored).await;
                }
            });
            two_wait.notified().await;
            let third = spawn(async move {
                let granted = third.lock(&all_wait).await.unwrap();
                assert!(granted.lease.is_valid());
                third.end(granted.lease, granted.stored).await;
            });
            clock.advance(first_granted.lease.remaining().saturating_sub(SHORT));
            first.end(first_granted.lease, first_granted.stored).await;
            second.await.unwrap();
            third.await.unwrap();
        });
        world.see_through(vec![all]);
    });
}

/// That a lease serves so many guards at most is asserted in all scenarios.
#[test]
fn a_cohort_lets_other_processes_come() {
    schedules(200, || {
        let world = World::new(2);
        let members = world.members(40, || Act::Commit);
        world.run(members);
    });
}
