//! Lines in a plane, as SVG.

use std::{fs, ops::Range, path::Path};

use plotters::{coord::combinators::BindKeyPoints as _, prelude::*};

use crate::Result;

/// Both axes are logarithmic: a ratio is a distance, wherever it stands.
#[derive(Clone, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made where something was measured"
)]
pub struct Plot {
    /// What is shown, under which conditions.
    pub title: String,
    /// The horizontal axis, with its unit.
    pub x: &'static str,
    /// The vertical axis, with its unit.
    pub y: &'static str,
    /// What is compared.
    pub lines: Vec<Line>,
}

/// One line.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a name and numbers")]
pub struct Line {
    /// What it shows.
    pub name: String,
    /// From left to right, all above 0.
    pub points: Vec<(f64, f64)>,
}

const SIZE: (u32, u32) = (1000, 520);
/// Names of lines stand beside them, where they hide nothing.
const LEGEND: u32 = 230;
const FONT: &str = "sans-serif";
// Told apart also by who sees red and green as one (Okabe and Ito).
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
    RGBColor(150, 110, 60),
];

impl Plot {
    /// Writes `name.svg` into the folder, which is made if need be.
    ///
    /// # Errors
    /// There is nothing to show, or the file cannot be written.
    pub fn write(&self, folder: &Path, name: &str) -> Result<()> {
        fs::create_dir_all(folder)?;
        let file = folder.join(name).with_extension("svg");
        fs::write(&file, self.svg()?)?;
        eprintln!("plotted {}", file.display());
        Ok(())
    }

    fn svg(&self) -> Result<String> {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x = range(points().map(|point| point.0), 1.1)?;
        let y = range(points().map(|point| point.1), 1.25)?;
        let mut measured_at: Vec<f64> = points().map(|point| point.0).collect();
        measured_at.sort_unstable_by(f64::total_cmp);
        measured_at.dedup();
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let (left, legend) = area.split_horizontally(SIZE.0 - LEGEND);
        let mut chart = ChartBuilder::on(&left)
            .caption(&self.title, (FONT, 20))
            .margin(12)
            .x_label_area_size(52)
            .y_label_area_size(84)
            .build_cartesian_2d(x.log_scale().with_key_points(measured_at), y.log_scale())?;
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .axis_desc_style((FONT, 16))
            .label_style((FONT, 14))
            .light_line_style(WHITE)
            .x_label_formatter(&|x| short(*x))
            .y_label_formatter(&|y| short(*y))
            .draw()?;
        let coloured = || self.lines.iter().zip(COLOURS.iter().cycle());
        for (line, colour) in coloured() {
            let points = || line.points.iter().copied();
            chart.draw_series(LineSeries::new(points(), colour.stroke_width(2)))?;
            chart.draw_series(points().map(|point| Circle::new(point, 4, colour.filled())))?;
        }
        for ((line, colour), y) in coloured().zip((60..).step_by(26)) {
            let mark = Rectangle::new([(0, y + 5), (18, y + 9)], colour.filled());
            legend.draw(&mark)?;
            legend.draw(&Text::new(line.name.as_str(), (26, y), (FONT, 15)))?;
        }
        area.present()?;
        drop((chart, left, legend, area));
        Ok(svg)
    }
}

/// From the smallest to the largest, and a little beyond.
fn range(numbers: impl Iterator<Item = f64>, beyond: f64) -> Result<Range<f64>> {
    let (low, high) = numbers
        .filter(|number| number.is_finite() && *number > 0.0)
        .fold((f64::MAX, 0.0_f64), |(low, high), number| {
            (low.min(number), high.max(number))
        });
    if low > high {
        return Err("a plot has nothing to show".into());
    }
    let same = if low == high { 2.0 } else { 1.0 };
    Ok(low / beyond..high * beyond * same)
}

/// 12000 as 12k.
fn short(number: f64) -> String {
    let (number, unit) = match number {
        1e6.. => (number / 1e6, "M"),
        1e3.. => (number / 1e3, "k"),
        _ => (number, ""),
    };
    let digits = if number >= 10.0 || number.fract() == 0.0 {
        0
    } else {
        2
    };
    format!("{number:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: Vec<(f64, f64)>) -> Plot {
        Plot {
            title: "everything".to_owned(),
            x: "tasks",
            y: "cycles in a second",
            lines: vec![Line {
                name: "this one".to_owned(),
                points,
            }],
        }
    }

    #[test]
    fn what_is_shown_is_named() {
        let svg = plot(vec![(1.0, 5e3), (64.0, 9e4)]).svg().unwrap();
        for text in ["everything", "tasks", "cycles in a second", "this one"] {
            assert!(svg.contains(text), "{text}");
        }
        assert_eq!(svg.matches("<circle").count(), 2);
    }

    #[test]
    fn a_single_point_can_be_shown_and_nothing_cannot() {
        plot(vec![(1.0, 5e3)]).svg().unwrap();
        assert!(plot(Vec::new()).svg().is_err());
    }

    #[test]
    fn large_numbers_are_shortened() {
        let texts = [0.25, 7.0, 64.0, 1_000.0, 12_000.0, 1_500_000.0].map(short);
        assert_eq!(texts, ["0.25", "7", "64", "1k", "12k", "1.50M"]);
    }
}
