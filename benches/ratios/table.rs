use std::fmt;

use latchkey_benches::{Action, Cost, Result, Spread};

use crate::{
    args::Args,
    measure::{Bench, Pair, Setting},
};

/// All that is compared, and what was measured of it.
pub(crate) struct Table {
    rows: Vec<Row>,
}

struct Row {
    what: What,
    setting: Setting,
    rounds: Vec<Pair>,
}

#[derive(Clone, Copy)]
struct What {
    name: &'static str,
    plain: &'static str,
    action: Action,
}

const ALL: [What; 4] = [
    What {
        name: "locked cycle",
        plain: "GET + SET",
        action: Action::Cycle,
    },
    What {
        name: "update",
        plain: "GET + SET",
        action: Action::Update,
    },
    What {
        name: "snapshot",
        plain: "GET",
        action: Action::Read,
    },
    What {
        name: "create",
        plain: "SET",
        action: Action::Create,
    },
];

impl What {
    /// The same, where sessions that are written through are compared with those that are not.
    const fn through(self) -> Self {
        Self {
            plain: "the same, not written through",
            ..self
        }
    }
}

impl Table {
    pub(crate) fn new(args: &Args) -> Self {
        let mut rows = Vec::new();
        for what in ALL {
            if !what.name.contains(&args.what) {
                continue;
            }
            let what = if args.through { what.through() } else { what };
            for &tasks in &args.tasks {
                for &record in &args.bytes {
                    rows.push(Row {
                        what,
                        setting: Setting { tasks, record },
                        rounds: Vec::new(),
                    });
                }
            }
        }
        Self { rows }
    }

    /// Measures everything once.
    pub(crate) async fn measure(&mut self, bench: &Bench, backwards: bool) -> Result<()> {
        let count = self.rows.len();
        for at in 0..count {
            let row = &mut self.rows[if backwards { count - 1 - at } else { at }];
            let pair = bench.pair(row.what.action, row.setting, backwards).await?;
            row.rounds.push(pair);
        }
        bench.clear().await
    }
}

/// As Markdown.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| what : plain | tasks | bytes | ratio | lowest to highest | per second : plain | server CPU µs : plain | client CPU µs : plain | CPU, times plain |"
        )?;
        writeln!(f, "|---|--:|--:|--:|:-:|--:|--:|--:|--:|")?;
        self.rows.iter().try_for_each(|row| row.fmt(f))
    }
}

impl Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |cost: &Cost| cost.per_second;
        let cpu = |cost: &Cost| cost.server_us + cost.client_us;
        let Some(ratio) = self.spread(|pair| rate(&pair.latchkey) / rate(&pair.plain)) else {
            return Ok(());
        };
        let [rates, server, client] = [
            self.both(rate, 0),
            self.both(|cost| cost.server_us, 1),
            self.both(|cost| cost.client_us, 1),
        ];
        let cpu = self.spread(|pair| cpu(&pair.latchkey) / cpu(&pair.plain));
        let What { name, plain, .. } = self.what;
        let Setting { tasks, record } = self.setting;
        writeln!(
            f,
            "| {name} : {plain} | {tasks} | {record} | **{:.2}** | {:.2} to {:.2} | {rates} | {server} | {client} | {:.2} |",
            ratio.median,
            ratio.lowest,
            ratio.highest,
            cpu.map_or(f64::NAN, |cpu| cpu.median),
        )
    }

    fn spread(&self, number: impl Fn(&Pair) -> f64) -> Option<Spread> {
        Spread::of(self.rounds.iter().map(number))
    }

    /// The medians of a number of both sides.
    fn both(&self, number: impl Fn(&Cost) -> f64, digits: usize) -> String {
        let median = |side: fn(&Pair) -> &Cost| {
            self.spread(|pair| number(side(pair)))
                .map_or(f64::NAN, |spread| spread.median)
        };
        let (latchkey, plain) = (median(|pair| &pair.latchkey), median(|pair| &pair.plain));
        format!("{latchkey:.digits$} : {plain:.digits$}")
    }
}
