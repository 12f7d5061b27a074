use std::fmt::{self, Write as _};

use crate::{Beats, Happened, Report, report::millis};

/// A picture of a run: its faults, and what was done and waited for meanwhile.
#[derive(Debug)]
struct Picture {
    text: String,
    /// Of the whole run, in ms.
    span: u64,
}

const WIDTH: u64 = 1_200;
const LEFT: u64 = 130;
const PLOT: u64 = WIDTH - LEFT - 20;
const ROW: u64 = 18;
const PANEL: u64 = 120;

impl Report {
    /// A picture of the run as SVG: faults, operations for each second, and waits, over time.
    ///
    /// # Errors
    /// None in practice: a string takes every write.
    pub fn timeline(&self) -> Result<String, fmt::Error> {
        let mut kinds: Vec<&'static str> = self
            .happened
            .iter()
            .map(|fault| fault.kind.name())
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        let faults_end = 50 + kinds.len() as u64 * ROW;
        let height = faults_end + 2 * (PANEL + 50) + 20;
        let ends = self.happened.iter().map(|fault| fault.until_ms);
        let beats = self.beats.done.len() as u64 * Beats::millis();
        let mut picture = Picture {
            text: String::new(),
            span: ends.chain([beats, 1]).max().unwrap_or(1),
        };
        writeln!(
            picture.text,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">
<rect width="{WIDTH}" height="{height}" fill="white"/>
<text x="{LEFT}" y="24" font-size="15">{}, seed {}: lost {}, broken promises {}</text>"#,
            self.topology,
            self.seed,
            self.lost,
            self.violations.len()
        )?;
        for fault in &self.happened {
            picture.shade(fault, faults_end, height - 40)?;
        }
        for (row, kind) in kinds.iter().enumerate() {
            let top = 40 + row as u64 * ROW;
            let of_kind = self
                .happened
                .iter()
                .filter(|fault| fault.kind.name() == *kind);
            picture.row(kind, top, of_kind)?;
        }
        let rate = |counts: &[u32]| -> Vec<u64> {
            let in_a_second = 1_000 / Beats::millis();
            counts
                .iter()
                .map(|count| u64::from(*count) * in_a_second)
                .collect()
        };
        let throughput = faults_end + 30;
        let (done, failed) = (rate(&self.beats.done), rate(&self.beats.failed));
        picture.panel(
            throughput,
            "operations/s",
            &[("done", "#2b6cb0", &done), ("not done", "#c53030", &failed)],
        )?;
        let waits = throughput + PANEL + 50;
        picture.panel(
            waits,
            "longest wait, ms",
            &[("wait for a session", "#6b46c1", &self.beats.longest_wait_ms)],
        )?;
        picture.axis(waits + PANEL)?;
        picture.text.push_str("</svg>\n");
        Ok(picture.text)
    }
}

impl Beats {
    /// How long one is, in ms.
    const fn millis() -> u64 {
        millis(250_000_000)
    }
}

impl Picture {
    fn x(&self, at_ms: u64) -> u64 {
        LEFT + at_ms * PLOT / self.span
    }

    /// What concerns the servers is seen behind everything below.
    fn shade(&mut self, fault: &Happened, top: u64, bottom: u64) -> fmt::Result {
        if fault.worker.is_some() {
            return Ok(());
        }
        let (from, until) = (self.x(fault.from_ms), self.x(fault.until_ms));
        let (width, height) = ((until - from).max(1), bottom - top);
        writeln!(
            self.text,
            r##"<rect x="{from}" y="{top}" width="{width}" height="{height}" fill="#fbd38d" fill-opacity="0.45"/>"##
        )
    }

    fn row<'f>(
        &mut self,
        kind: &str,
        top: u64,
        faults: impl Iterator<Item = &'f Happened>,
    ) -> fmt::Result {
        let (text, line) = (top + 13, top + ROW);
        writeln!(
            self.text,
            r##"<text x="{}" y="{text}" text-anchor="end">{kind}</text>"##,
            LEFT - 8
        )?;
        writeln!(
            self.text,
            r##"<line x1="{LEFT}" x2="{}" y1="{line}" y2="{line}" stroke="#e2e8f0"/>"##,
            LEFT + PLOT
        )?;
        for fault in faults {
            let (from, until) = (self.x(fault.from_ms), self.x(fault.until_ms));
            let width = (until - from).max(3);
            let fill = if fault.worker.is_some() {
                "#805ad5"
            } else {
                "#dd6b20"
            };
            writeln!(
                self.text,
                r##"<rect x="{from}" y="{}" width="{width}" height="{}" fill="{fill}"/>"##,
                top + 3,
                ROW - 5
            )?;
            if let Some(worker) = fault.worker {
                writeln!(
                    self.text,
                    r##"<text x="{}" y="{text}" font-size="10">{worker}</text>"##,
                    from + width + 2
                )?;
            }
        }
        Ok(())
    }

    fn panel(&mut self, top: u64, name: &str, lines: &[(&str, &str, &[u64])]) -> fmt::Result {
        let most = lines
            .iter()
            .flat_map(|(_, _, values)| *values)
            .max()
            .copied()
            .unwrap_or(0)
            .max(1);
        let bottom = top + PANEL;
        for (share, value) in [(0, 0), (1, most / 2), (2, most)] {
            let y = bottom - share * PANEL / 2;
            writeln!(
                self.text,
                r##"<line x1="{LEFT}" x2="{}" y1="{y}" y2="{y}" stroke="#cbd5e0"/>"##,
                LEFT + PLOT
            )?;
            writeln!(
                self.text,
                r##"<text x="{}" y="{}" text-anchor="end">{value}</text>"##,
                LEFT - 8,
                y + 4
            )?;
        }
        writeln!(
            self.text,
            r##"<text x="{LEFT}" y="{}">{name}</text>"##,
            top - 6
        )?;
        for (at, (label, colour, values)) in lines.iter().enumerate() {
            write!(
                self.text,
                r##"<polyline fill="none" stroke="{colour}" stroke-width="1.3" points=""##
            )?;
            for (beat, value) in values.iter().enumerate() {
                let x = self.x(beat as u64 * Beats::millis());
                write!(self.text, "{x},{} ", bottom - value * PANEL / most)?;
            }
            self.text.push_str("\"/>\n");
            let x = LEFT + 200 + at as u64 * 120;
            writeln!(
                self.text,
                r##"<text x="{x}" y="{}" fill="{colour}">{label}</text>"##,
                top - 6
            )?;
        }
        Ok(())
    }

    fn axis(&mut self, y: u64) -> fmt::Result {
        let step = (self.span / 1_000 / 12).max(1);
        for second in (0..=self.span / 1_000).step_by(usize::try_from(step).unwrap_or(1)) {
            let x = self.x(second * 1_000);
            writeln!(
                self.text,
                r##"<text x="{x}" y="{}" text-anchor="middle">{second} s</text>"##,
                y + 18
            )?;
        }
        Ok(())
    }
}
