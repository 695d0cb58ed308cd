//! Plots of a report: panels in rows and columns, each with some lines in it.

use std::ops::Range;
use std::path::Path;

use anyhow::Result;
use plotters::coord::Shift;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;

/// One line.
#[derive(Debug, Clone)]
pub struct Line {
    /// In the legend.
    pub name: &'static str,
    /// Its colour.
    pub colour: RGBColor,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
}

/// How a panel's axes are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axes {
    /// Both logarithmic.
    Logarithmic,
    /// The one below logarithmic, the one at the side from 0.
    LogarithmicBelow,
    /// Both from 0.
    Linear,
}

/// One of the plots.
#[derive(Debug, Clone)]
pub struct Panel {
    /// Above it.
    pub caption: String,
    /// What the axis below shows.
    pub below: &'static str,
    /// What the axis at the side shows.
    pub side: &'static str,
    /// How they are divided.
    pub axes: Axes,
    /// What is in it; nothing is drawn for a panel without points.
    pub lines: Vec<Line>,
}

impl Panel {
    fn range(&self, value: impl Fn(&(f64, f64)) -> f64) -> Option<Range<f64>> {
        let values = || self.lines.iter().flat_map(|line| &line.points).map(&value);
        let (least, most) = (values().min_by(f64::total_cmp)?, values().max_by(f64::total_cmp)?);
        Some(least..most)
    }
}

/// Draws panels in so many rows and columns, of a size in all.
///
/// # Errors
/// Where the file cannot be written.
pub fn draw(path: &Path, size: (u32, u32), grid: (usize, usize), panels: &[Panel]) -> Result<()> {
    let area = SVGBackend::new(path, size).into_drawing_area();
    area.fill(&WHITE)?;
    for (place, panel) in area.split_evenly(grid).iter().zip(panels) {
        draw_panel(place, panel)?;
    }
    area.present()?;
    Ok(())
}

type Place<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn draw_panel(place: &Place<'_>, panel: &Panel) -> Result<()> {
    let (Some(x), Some(y)) = (panel.range(|point| point.0), panel.range(|point| point.1)) else {
        return Ok(());
    };
    let mut builder = ChartBuilder::on(place);
    builder.caption(&panel.caption, ("sans-serif", 16));
    builder.margin(10).x_label_area_size(32).y_label_area_size(64);
    let first = x.start.max(1.0);
    let x_log = (first..x.end.max(first * 2.0)).log_scale();
    let from_zero = |end: f64, room: f64| 0.0..(end * room).max(1.0);
    match panel.axes {
        Axes::Logarithmic => {
            let y = (y.start.max(f64::MIN_POSITIVE) / 2.0..y.end * 3.0).log_scale();
            fill(builder.build_cartesian_2d(x_log, y)?, panel)
        }
        Axes::LogarithmicBelow => {
            fill(builder.build_cartesian_2d(x_log, from_zero(y.end, 1.4))?, panel)
        }
        Axes::Linear => {
            let x = from_zero(x.end, 1.0);
            fill(builder.build_cartesian_2d(x, from_zero(y.end, 1.4))?, panel)
        }
    }
}

type Chart<'a, X, Y> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>;

fn fill<X, Y>(mut chart: Chart<'_, X, Y>, panel: &Panel) -> Result<()>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    chart.configure_mesh().x_desc(panel.below).y_desc(panel.side).draw()?;
    for line in panel.lines.iter().filter(|line| !line.points.is_empty()) {
        let style = line.colour.stroke_width(2);
        chart
            .draw_series(LineSeries::new(line.points.iter().copied(), style))?
            .label(line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
        let dots = line.points.iter().map(|&at| Circle::new(at, 3, line.colour.filled()));
        chart.draw_series(dots)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    Ok(())
}
