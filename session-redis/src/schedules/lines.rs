use super::{World, chance, member::Act, schedules};

#[test]
fn everybody_who_waits_gets_the_lock_once_and_in_turn() {
    schedules(1_000, || {
        let world = World::new(2);
        let members = world.members(6, || Act::Discard);
        world.run(members);
    });
}

/// Whether it has asked the server or not, was offered the lock or has just been given it.
#[test]
fn whoever_stops_waiting_hands_its_turn_on() {
    schedules(3_000, || {
        let world = World::new(2);
        let mut members = world.members(6, || Act::Discard);
        for member in &mut members {
            member.patience = (chance::below(2) == 0).then(|| 1 + chance::below(8));
        }
        world.run(members);
    });
}

#[test]
fn whoever_drops_the_lock_hands_it_on() {
    schedules(1_000, || {
        let world = World::new(2);
        let members = world.members(6, || Act::Drop);
        world.run(members);
    });
}
