//! Histories made by hand: each is right but for one thing, or right.

use crate::{
    Action, Broken, History, Hold, Life, Nanos, Op, Outcome, Seen, Terms, Told, Value, check,
    check::{long_waits, void_overlaps},
};

const TERMS: Terms = Terms {
    grace: 1_000,
    slack: 100,
};

/// Operations on session 1, one line for each.
#[derive(Default)]
struct Made(History);

impl Made {
    fn op(mut self, process: u64, times: (Nanos, Nanos), action: Action) -> Self {
        self.0.ops.push(Op {
            process,
            client: process,
            session: 1,
            invoked: times.0,
            returned: Some(times.1),
            action,
            outcome: Outcome::Done,
            revision: None,
        });
        self
    }

    /// The last one became something else.
    fn but(mut self, change: impl FnOnce(&mut Op)) -> Self {
        change(self.0.ops.last_mut().expect("there is one"));
        self
    }

    fn refused(self) -> Self {
        self.but(|op| op.outcome = Outcome::Failed)
    }

    fn unknown(self) -> Self {
        self.but(|op| op.outcome = Outcome::Unknown)
    }

    fn revision(self, revision: u64) -> Self {
        self.but(|op| op.revision = Some(revision))
    }

    fn held(mut self, process: u64, from: Nanos, until: Nanos) -> Self {
        self.0.holds.push(Hold {
            process,
            client: process,
            session: 1,
            from,
            until,
            void: false,
        });
        self
    }

    /// A session with the value 1 under the ID 10.
    fn born() -> Self {
        Self::default().op(
            1,
            (0, 10),
            Action::Create {
                id: 10,
                write: 1,
                life: None,
            },
        )
    }

    fn change(self, process: u64, times: (Nanos, Nanos), read: Value, write: Value) -> Self {
        self.op(
            process,
            times,
            Action::Change {
                id: 10,
                read: Some(read),
                write,
            },
        )
    }

    fn read(self, process: u64, times: (Nanos, Nanos), id: u64, seen: Seen) -> Self {
        self.op(
            process,
            times,
            Action::Read {
                id,
                seen: Some(seen),
                staleness: 0,
            },
        )
    }

    fn cached(self, process: u64, times: (Nanos, Nanos), seen: Seen, staleness: Nanos) -> Self {
        self.op(
            process,
            times,
            Action::Read {
                id: 10,
                seen: Some(seen),
                staleness,
            },
        )
    }

    fn rotate(self, times: (Nanos, Nanos), read: Value, write: Value) -> Self {
        self.op(
            1,
            times,
            Action::Rotate {
                id: 10,
                to: 11,
                read,
                write,
            },
        )
    }

    fn login(self, times: (Nanos, Nanos), ticket: Option<Nanos>) -> Self {
        let action = Action::Login {
            id: 10,
            to: 11,
            read: 1,
            write: 2,
            user: 7,
            ticket,
        };
        self.op(1, times, action)
    }

    fn revoke_all(self, times: (Nanos, Nanos)) -> Self {
        self.op(2, times, Action::RevokeAll { user: 7 })
            .but(|op| op.session = 0)
    }

    fn end(self, times: (Nanos, Nanos), read: Value) -> Self {
        self.op(1, times, Action::End { id: 10, read })
    }

    fn broken(&self) -> Vec<Broken> {
        let mut broken: Vec<Broken> = check(&self.0, &TERMS)
            .into_iter()
            .map(|one| one.broken)
            .collect();
        broken.sort_unstable();
        broken.dedup();
        broken
    }
}

/// A right history, at whatever moment within their times its operations happen.
fn is_right(made: &Made) {
    assert_eq!(made.broken(), []);
}

#[test]
fn changes_one_after_the_other_are_right_also_if_they_overlap() {
    is_right(
        &Made::born()
            .change(1, (20, 30), 1, 2)
            .change(2, (40, 50), 2, 3),
    );
    is_right(
        &Made::born()
            .change(2, (20, 90), 2, 3)
            .change(1, (25, 95), 1, 2)
            .read(3, (30, 40), 10, Seen::Current(1)),
    );
}

#[test]
fn a_lost_update_is_found() {
    let lost = Made::born()
        .change(1, (20, 60), 1, 2)
        .change(2, (30, 70), 1, 3);
    assert_eq!(lost.broken(), [Broken::LostUpdate, Broken::Disorder]);
}

#[test]
fn a_change_that_vanishes_is_found() {
    let vanished = Made::born()
        .change(1, (20, 30), 1, 2)
        .read(2, (40, 50), 10, Seen::Current(1));
    assert_eq!(vanished.broken(), [Broken::StaleRead, Broken::Disorder]);
    let nobody = Made::born().read(2, (40, 50), 10, Seen::Nothing);
    assert_eq!(nobody.broken(), [Broken::Disorder]);
    let refused = Made::born().op(
        2,
        (40, 50),
        Action::Lock {
            id: 10,
            told: Some(Told::Absent),
        },
    );
    assert_eq!(refused.broken(), [Broken::Disorder]);
}

#[test]
fn a_value_that_nobody_wrote_is_found() {
    assert_eq!(
        Made::born()
            .read(2, (40, 50), 10, Seen::Current(9))
            .broken(),
        [Broken::Disorder]
    );
}

#[test]
fn what_was_refused_is_never_seen() {
    let refused = Made::born().change(1, (20, 30), 1, 2).refused();
    is_right(&Made::born().change(1, (20, 30), 1, 2).refused().read(
        2,
        (40, 50),
        10,
        Seen::Current(1),
    ));
    let seen = refused.read(2, (40, 50), 10, Seen::Current(2));
    assert_eq!(seen.broken(), [Broken::RefusedButStored, Broken::Disorder]);
}

#[test]
fn what_is_unknown_may_be_seen_late_or_never_but_does_not_go_away_again() {
    let unknown = || Made::born().change(1, (20, 30), 1, 2).unknown();
    is_right(&unknown().read(2, (40, 50), 10, Seen::Current(1)));
    is_right(&unknown().read(2, (40, 50), 10, Seen::Current(1)).read(
        2,
        (60, 70),
        10,
        Seen::Current(2),
    ));
    is_right(&unknown().change(2, (40, 50), 1, 3));
    let gone =
        unknown()
            .read(2, (40, 50), 10, Seen::Current(2))
            .read(2, (60, 70), 10, Seen::Current(1));
    assert_eq!(gone.broken(), [Broken::Disorder]);
    // Replaced, it cannot come any more.
    let late = unknown()
        .change(2, (40, 50), 1, 3)
        .read(2, (60, 70), 10, Seen::Current(2));
    assert_eq!(late.broken(), [Broken::Disorder]);
}

#[test]
fn what_a_killed_process_had_begun_may_be_stored_or_not() {
    let killed = || {
        Made::born()
            .op(
                1,
                (20, 30),
                Action::Change {
                    id: 10,
                    read: None,
                    write: 2,
                },
            )
            .but(|op| op.returned = None)
            .unknown()
    };
    is_right(&killed().read(2, (40, 50), 10, Seen::Current(1)).read(
        2,
        (60, 70),
        10,
        Seen::Current(2),
    ));
    is_right(
        &killed()
            .change(2, (40, 50), 1, 3)
            .read(2, (60, 70), 10, Seen::Current(2)),
    );
}

#[test]
fn cached_reads_may_lag_by_their_bound_and_never_behind_their_own_process() {
    let changed = || Made::born().change(1, (20, 30), 1, 2);
    is_right(&changed().cached(2, (40, 50), Seen::Current(1), 15));
    let stale = changed().cached(2, (60, 70), Seen::Current(1), 15);
    assert_eq!(stale.broken(), [Broken::StaleRead, Broken::Disorder]);
    let own = changed().cached(1, (40, 50), Seen::Current(1), 15);
    assert_eq!(own.broken(), [Broken::Disorder]);
    // It saw its own write, and not yet what others wrote after that.
    is_right(
        &Made::born()
            .change(1, (20, 30), 1, 2)
            .change(2, (22, 34), 2, 3)
            .cached(1, (40, 50), Seen::Current(2), 15),
    );
}

#[test]
fn a_session_that_has_ended_stays_ended() {
    let ended = || Made::born().end((20, 30), 1);
    is_right(&ended().read(2, (40, 50), 10, Seen::Nothing).op(
        2,
        (60, 70),
        Action::Lock {
            id: 10,
            told: Some(Told::Absent),
        },
    ));
    is_right(&ended().read(2, (25, 50), 10, Seen::Current(1)));
    let back = ended().read(2, (40, 50), 10, Seen::Current(1));
    assert_eq!(back.broken(), [Broken::Resurrection, Broken::Disorder]);
    let written = ended().change(2, (40, 50), 1, 2);
    assert_eq!(written.broken(), [Broken::Resurrection, Broken::Disorder]);
    let destroyed = Made::born()
        .op(1, (20, 30), Action::Destroy { id: 10 })
        .read(2, (40, 50), 10, Seen::Current(1));
    assert_eq!(destroyed.broken(), [Broken::Disorder]);
}

#[test]
fn an_old_id_shows_the_session_for_the_grace_and_not_longer() {
    let rotated = || Made::born().rotate((20, 30), 1, 2);
    is_right(&rotated().read(2, (40, 50), 10, Seen::Former(2)).read(
        2,
        (45, 55),
        11,
        Seen::Current(2),
    ));
    is_right(&rotated().op(
        2,
        (40, 50),
        Action::Lock {
            id: 10,
            told: Some(Told::Moved),
        },
    ));
    is_right(&rotated().read(2, (1_200, 1_210), 10, Seen::Nothing));
    assert_eq!(
        rotated().read(2, (40, 50), 10, Seen::Nothing).broken(),
        [Broken::Disorder]
    );
    assert_eq!(
        rotated().change(2, (40, 50), 2, 3).broken(),
        [Broken::Disorder]
    );
    let late = rotated().read(2, (1_200, 1_210), 10, Seen::Former(2));
    assert_eq!(
        late.broken(),
        [Broken::OldIdOutlivesGrace, Broken::Disorder]
    );
}

#[test]
fn an_old_id_shows_nothing_of_what_came_after_a_login() {
    let in_ = || Made::born().login((20, 30), None);
    is_right(
        &in_()
            .read(2, (40, 50), 10, Seen::Former(1))
            .read(2, (45, 55), 11, Seen::Current(2)),
    );
    let shown = in_().read(2, (40, 50), 10, Seen::Former(2));
    assert_eq!(shown.broken(), [Broken::OldIdShowsLogin, Broken::Disorder]);
}

#[test]
fn a_second_login_takes_the_first_ones_id_and_leaves_the_copy_of_before() {
    let again = || {
        Made::born().login((20, 30), None).op(
            1,
            (40, 50),
            Action::Login {
                id: 11,
                to: 12,
                read: 2,
                write: 3,
                user: 8,
                ticket: None,
            },
        )
    };
    is_right(
        &again()
            .read(2, (60, 70), 10, Seen::Former(1))
            .read(2, (60, 70), 11, Seen::Nothing)
            .read(2, (60, 70), 12, Seen::Current(3)),
    );
    let shown = again().read(2, (60, 70), 11, Seen::Former(2));
    assert_eq!(shown.broken(), [Broken::Disorder]);
}

#[test]
fn a_session_that_is_stored_anew_after_its_end_is_found() {
    let again = Made::born().end((20, 30), 1).op(
        2,
        (40, 50),
        Action::Create {
            id: 10,
            write: 2,
            life: None,
        },
    );
    assert_eq!(again.broken(), [Broken::Disorder]);
}

#[test]
fn whoever_ends_it_through_an_old_id_ends_the_session() {
    let ended = || {
        Made::born()
            .rotate((20, 30), 1, 2)
            .op(2, (40, 50), Action::Destroy { id: 10 })
    };
    is_right(&ended().read(2, (60, 70), 11, Seen::Nothing));
    let alive = ended().read(2, (60, 70), 11, Seen::Current(2));
    assert_eq!(alive.broken(), [Broken::Disorder]);
}

#[test]
fn whoever_ends_what_has_ended_is_told_that_it_is_done() {
    is_right(
        &Made::born()
            .op(2, (20, 30), Action::Destroy { id: 10 })
            .end((40, 50), 1),
    );
}

#[test]
fn revoking_ends_the_sessions_of_its_user_and_logins_that_had_begun() {
    let revoked = || Made::born().login((20, 30), Some(15)).revoke_all((40, 50));
    is_right(&revoked().read(2, (60, 70), 11, Seen::Nothing));
    is_right(
        &Made::born()
            .revoke_all((12, 14))
            .login((20, 30), Some(15))
            .read(2, (60, 70), 11, Seen::Current(2)),
    );
    assert_eq!(
        revoked().read(2, (60, 70), 11, Seen::Current(2)).broken(),
        [Broken::Disorder]
    );
    let late = Made::born().revoke_all((17, 18)).login((20, 30), Some(15));
    assert_eq!(late.broken(), [Broken::LateLogin]);
}

#[test]
fn a_session_with_an_end_ends_then() {
    let life = Life {
        idle: 500,
        absolute: 800,
    };
    let born = || {
        Made::default().op(
            1,
            (0, 10),
            Action::Create {
                id: 10,
                write: 1,
                life: Some(life),
            },
        )
    };
    is_right(&born().read(2, (450, 460), 10, Seen::Nothing));
    is_right(&born().read(2, (800, 810), 10, Seen::Current(1)));
    assert_eq!(
        born().read(2, (100, 110), 10, Seen::Nothing).broken(),
        [Broken::Disorder]
    );
    let late = born().read(2, (950, 960), 10, Seen::Current(1));
    assert_eq!(late.broken(), [Broken::OutlivesEnd, Broken::Disorder]);
}

#[test]
fn two_holders_at_one_time_are_found() {
    is_right(&Made::born().held(1, 20, 30).held(2, 31, 40));
    assert_eq!(
        Made::born().held(1, 20, 90).held(3, 30, 35).broken(),
        [Broken::TwoHolders]
    );
    let mut void = Made::born().held(1, 20, 90).held(3, 30, 35);
    void.0.holds[0].void = true;
    is_right(&void);
    assert_eq!(void_overlaps(&void.0), 1);
    let mut stepped = Made::born().held(1, 20, 90).held(3, 70, 95);
    stepped.0.clock_steps.push(50);
    is_right(&stepped);
}

#[test]
fn a_write_while_another_holds_the_session_is_found() {
    is_right(&Made::born().held(1, 20, 90).change(2, (15, 40), 1, 2));
    let under = Made::born().held(1, 20, 90).change(2, (30, 40), 1, 2);
    assert_eq!(under.broken(), [Broken::WriteUnderLock]);
    // Ending it from outside is no write.
    is_right(
        &Made::born()
            .held(1, 20, 90)
            .op(2, (30, 40), Action::Destroy { id: 10 }),
    );
}

#[test]
fn revisions_that_do_not_grow_are_found() {
    let changed = |first, second| {
        Made::born()
            .change(1, (20, 30), 1, 2)
            .revision(first)
            .change(2, (40, 50), 2, 3)
            .revision(second)
    };
    is_right(&changed(5, 6));
    assert_eq!(changed(5, 5).broken(), [Broken::RevisionFell]);
    assert_eq!(changed(5, 4).broken(), [Broken::RevisionFell]);
    // At the same time: stored together, perhaps.
    is_right(
        &Made::born()
            .change(1, (20, 45), 1, 2)
            .revision(5)
            .change(2, (40, 50), 2, 3)
            .revision(5),
    );
}

#[test]
fn waits_are_measured_without_the_time_in_which_their_process_was_stopped() {
    let waited = Made::born().op(
        1,
        (100, 900),
        Action::Lock {
            id: 10,
            told: Some(Told::Failed),
        },
    );
    let long = |stops: &[_]| long_waits(&waited.0, 500, stops).len();
    assert_eq!(long(&[]), 1);
    assert_eq!(long(&[(1, 50, 450)]), 0);
    assert_eq!(long(&[(2, 50, 450)]), 1);
}

#[test]
fn long_histories_with_many_clients_and_unknown_outcomes_are_checked_at_once() {
    let mut made = Made::born();
    let mut value = 1;
    for turn in 0..20_000_u64 {
        let at = 20 + turn * 10;
        let write = turn + 2;
        made = made.change(turn % 7, (at, at + 25), value, write);
        if turn % 50 == 0 {
            made = made
                .change(8, (at, at + 5), value, 1_000_000 + turn)
                .unknown();
        }
        value = write;
    }
    is_right(&made);
}
