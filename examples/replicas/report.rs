#![expect(clippy::print_stdout, reason = "this is the program's output")]

use std::net::SocketAddr;

use crate::{
    proxy::Proxy,
    round::{Mode, Round},
};

/// What is told of the run, while it goes on.
pub(crate) struct Report {
    lost_under_lock: u64,
    has_head: bool,
}

impl Report {
    pub(crate) fn begin(proxy: &Proxy, servers: &[SocketAddr], is_private: bool) -> Self {
        for (number, server) in (1..).zip(servers) {
            println!("server {number}  http://{server}");
        }
        let redis = if is_private {
            "a Redis of its own"
        } else {
            "the Redis that you named"
        };
        println!(
            "proxy     http://{}, in turn to all of them, on {redis}",
            proxy.addr()
        );
        println!();
        Self {
            lost_under_lock: 0,
            has_head: false,
        }
    }

    pub(crate) fn says(&mut self, what: &str) {
        println!("{what}");
        self.has_head = false;
    }

    pub(crate) fn add(&mut self, mode: Mode, round: &Round) {
        if !self.has_head {
            println!(
                "  mode      done  refused  stored    lost   wait p50   wait max   answered by server"
            );
            self.has_head = true;
        }
        let shares = round.by_server.iter();
        let shares: Vec<_> = shares
            .map(|(server, count)| format!("{server}: {count}"))
            .collect();
        println!(
            "  {:<8}{:>6}{:>9}{:>8}{:>8}{:>8} ms{:>8} ms   {}",
            mode.name(),
            round.done,
            round.refused,
            round.stored,
            round.lost(),
            round.median_ms(),
            round.longest_ms(),
            shares.join(", "),
        );
        if mode == Mode::Locked {
            self.lost_under_lock += round.lost();
        }
    }

    pub(crate) const fn nothing_was_lost(&self) -> bool {
        self.lost_under_lock == 0
    }
}
