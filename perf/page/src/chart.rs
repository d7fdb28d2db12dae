//! Lines and points become SVG, by `kuva`.
//!
//! Colours are variables of the page's style sheet, so that a chart follows it into the dark and onto paper; sizes are those of
//! the box that it stands in. Nothing that a user named is drawn: names stand in the legend, which is text of the page.

use std::sync::Arc;

use kuva::TickFormat;
use kuva::backend::svg::SvgBackend;
use kuva::plot::annotations::{ReferenceLine, TextAnnotation};
use kuva::plot::line::LineStyle;
use kuva::plot::scatter::MarkerShape;
use kuva::plot::{LinePlot, ScatterPlot};
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;
use kuva::render::render::render_multiple;
use kuva::render::theme::Theme;

use crate::words::thousands;

/// Colours of the style sheet for series; what comes after them has other dashes.
pub(crate) const COLOURS: usize = 6;
const DASHES: [Option<&str>; 4] = [None, Some("7 4"), Some("2 3"), Some("9 3 2 3")];
/// So many series can be told apart.
pub(crate) const SERIES: usize = COLOURS * DASHES.len();

/// How a series looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// A line from point to point.
    Line,
    /// A line that stays until the next point.
    Step,
    /// The same with what is below it filled.
    Filled,
    /// A thin line of dashes that stays until the next point.
    Thin,
    /// A point for itself.
    Dots,
    /// A cross for itself.
    Crosses,
}

/// A series.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// Its colour and dashes.
    pub(crate) number: usize,
    pub(crate) look: Look,
    pub(crate) points: Vec<(f64, f64)>,
}

/// What stands around the series.
#[derive(Clone, Debug, Default)]
pub(crate) struct Axes {
    pub(crate) x: &'static str,
    pub(crate) y: String,
    /// The horizontal axis is logarithmic: its values are above nought.
    pub(crate) logarithmic: bool,
    /// The vertical axis is of hundredths.
    pub(crate) percent: bool,
    /// The horizontal axis begins at nought.
    pub(crate) from_zero: bool,
    /// Lines from side to side, with what stands at them.
    pub(crate) across: Vec<(f64, &'static str)>,
    /// Lines from the top to the bottom.
    pub(crate) upright: Vec<f64>,
}

/// Draws it; nothing where there is no point. `id` is of this chart alone on its page.
pub(crate) fn draw(series: &[Series], axes: &Axes, id: usize) -> Option<String> {
    let shown = |(x, y): &(f64, f64)| x.is_finite() && y.is_finite() && (!axes.logarithmic || *x > 0.0);
    let series: Vec<Series> =
        series.iter().map(|s| Series { points: s.points.iter().copied().filter(shown).collect(), ..s.clone() }).collect();
    let points = || series.iter().flat_map(|s| &s.points);
    let ends = points().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (x, _)| (low.min(*x), high.max(*x)));
    let top = points().map(|(_, y)| *y).fold(0.0, f64::max);
    points().next()?;

    let plots: Vec<Plot> = series.iter().filter(|s| !s.points.is_empty()).map(plot).collect();
    let mut layout = Layout::auto_from_plots(&plots)
        .with_width(WIDTH)
        .with_height(HEIGHT)
        .with_theme(theme())
        .with_x_label(axes.x)
        .with_y_label(axes.y.as_str())
        .with_x_tick_format(TickFormat::Custom(Arc::new(tick)))
        .with_y_tick_format(TickFormat::Custom(Arc::new(tick)))
        .with_label_size(13)
        .with_tick_size(12)
        .with_ticks(5)
        .with_y_axis_min(0.0);
    // Above 100 there is room for what stands at the highest line.
    layout = if axes.percent { layout.with_y_axis_max(108.0).with_y_tick_step(25.0) } else { layout.with_y_axis_max(round_up(top)) };
    layout = match axes.logarithmic {
        true => layout.with_log_x(),
        false => {
            let low = if axes.from_zero { 0.0 } else { ends.0 };
            // An axis needs a length.
            let high = if ends.1 > low { ends.1 } else { low + low.abs().max(1.0) * 0.1 };
            layout.with_x_axis_min(low).with_x_axis_max(high)
        }
    };
    // At the left, where curves have not risen yet.
    let (low, high) = (if axes.from_zero { 0.0 } else { ends.0 }, ends.1);
    let left = if axes.logarithmic { low * (high / low).powf(0.03) } else { low + (high - low) * 0.03 };
    for (at, label) in &axes.across {
        layout = layout
            .with_reference_line(ReferenceLine::horizontal(*at).with_color("var(--mark)").with_dasharray("3 3"))
            .with_annotation(TextAnnotation::new(*label, left, *at + 1.5).with_color("var(--axis)").with_font_size(11));
    }
    for at in axes.upright.iter().filter(|at| shown(&(**at, 0.0))) {
        layout = layout.with_reference_line(ReferenceLine::vertical(*at).with_color("var(--mark)").with_dasharray("3 3"));
    }
    let scene = render_multiple(plots, layout);
    let svg = SvgBackend::new().render_scene(&scene);
    // It has a size of its own and no view box, and its clips are called the same in every drawing.
    let body = svg.split_once('>').map_or("", |(_, body)| body);
    let body = body.replace("kuva-clip-", &format!("clip-{id}-"));
    Some(format!(
        r#"<svg viewBox="0 0 {:.0} {:.0}" fill="currentColor" font-family="inherit" aria-hidden="true" focusable="false">{body}"#,
        scene.width, scene.height
    ))
}

/// Of the drawing: so wide that its text can be read on a phone.
const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 280.0;

fn theme() -> Theme {
    let var = |name: &str| format!("var(--{name})");
    Theme {
        background: "none".to_owned(),
        axis_color: var("axis"),
        grid_color: var("grid"),
        tick_color: var("axis"),
        text_color: "currentColor".to_owned(),
        ..Theme::light()
    }
}

fn plot(series: &Series) -> Plot {
    let colour = format!("var(--s{})", series.number % COLOURS);
    let points = series.points.iter().copied();
    match series.look {
        Look::Dots | Look::Crosses => {
            let marker = if series.look == Look::Dots { MarkerShape::Circle } else { MarkerShape::Cross };
            ScatterPlot::new().with_data(points).with_color(colour).with_size(5.0).with_marker(marker).into()
        }
        _ => {
            let mut line = LinePlot::new().with_data(points).with_color(colour).with_stroke_width(1.75);
            if let Some(dash) = DASHES[series.number / COLOURS % DASHES.len()] {
                line = line.with_line_style(LineStyle::Custom(dash.to_owned()));
            }
            match series.look {
                Look::Step => line = line.with_step(),
                Look::Filled => line = line.with_step().with_fill().with_fill_opacity(0.25),
                Look::Thin => line = line.with_step().with_stroke_width(1.25).with_line_style(LineStyle::Custom("3 3".to_owned())),
                _ => {}
            }
            line.into()
        }
    }
}

/// The next of 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8 and 10 of its power of ten, so that the highest point is below the edge.
fn round_up(top: f64) -> f64 {
    if !top.is_finite() || top <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(top.log10().floor());
    let steps = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0];
    let step = steps.into_iter().find(|s| s * power >= top * 1.02).unwrap_or(10.0);
    if step == 10.0 && power * 10.0 < top * 1.02 { power * 15.0 } else { step * power }
}

/// A figure at an axis.
fn tick(value: f64) -> String {
    let trimmed = |text: String| if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text };
    match value.abs() {
        0.0 => "0".to_owned(),
        v if v >= 1e15 => format!("{value:e}"),
        v if v >= 1e9 => format!("{}G", trimmed(format!("{:.2}", value / 1e9))),
        v if v >= 1e6 => format!("{}M", trimmed(format!("{:.2}", value / 1e6))),
        v if v >= 1e3 => trimmed(thousands(value)),
        v if v >= 1.0 => trimmed(format!("{value:.2}")),
        v if v >= 1e-6 => trimmed(format!("{value:.6}")),
        _ => format!("{value:e}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(points: Vec<(f64, f64)>) -> Series {
        Series { number: 7, look: Look::Step, points }
    }

    #[test]
    fn colours_are_those_of_the_page() {
        let axes = Axes { x: "ms", y: "share".to_owned(), percent: true, across: vec![(50.0, "p50")], ..Axes::default() };
        let svg = draw(&[line(vec![(1.0, 0.0), (2.0, 100.0)])], &axes, 3).unwrap();
        assert!(svg.starts_with("<svg viewBox=") && svg.ends_with("</svg>"), "{svg}");
        for there in ["var(--s1)", "var(--axis)", "var(--grid)", "currentColor", "stroke-dasharray=\"7 4\"", "url(#clip-3-", ">p50<"] {
            assert!(svg.contains(there), "{there} in {svg}");
        }
        for absent in ["http", "black", "white", "#cccccc", "#000000", "width=\"520\"", "NaN", "<script"] {
            assert!(!svg.contains(absent), "{absent} in {svg}");
        }
    }

    #[test]
    fn of_no_point_there_is_no_chart() {
        assert_eq!(draw(&[], &Axes::default(), 0), None);
        assert_eq!(draw(&[line(vec![(f64::NAN, 1.0)])], &Axes::default(), 0), None);
        assert_eq!(draw(&[line(vec![(0.0, 1.0)])], &Axes { logarithmic: true, ..Axes::default() }, 0), None);
    }

    #[test]
    fn ticks_are_short() {
        let all = [0.0, 0.25, 1.5, 20.0, 1500.0, 2_500_000.0, 3e9, 0.000_001].map(tick);
        assert_eq!(all, ["0", "0.25", "1.5", "20", "1,500", "2.5M", "3G", "0.000001"]);
    }

    proptest! {
        #[test]
        fn nothing_panics(
            points in proptest::collection::vec((proptest::num::f64::ANY, proptest::num::f64::ANY), 0..20),
            small in proptest::collection::vec((0.0_f64..10.0, 0.0_f64..10.0), 0..20),
            logarithmic: bool,
            look in proptest::sample::select(vec![Look::Line, Look::Step, Look::Filled, Look::Thin, Look::Dots, Look::Crosses]),
        ) {
            // What is drawn is nanoseconds, counts and rates: far from the end of doubles.
            let points = points.into_iter().filter(|(x, y)| !(x.abs() > 1e20 || y.abs() > 1e20)).collect();
            let axes = Axes { logarithmic, upright: vec![1.0, f64::NAN], ..Axes::default() };
            for points in [points, small] {
                if let Some(svg) = draw(&[Series { number: 0, look, points }], &axes, 1) {
                    prop_assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                }
            }
        }

        #[test]
        fn axes_end_above(top in 1e-9_f64..1e12) {
            prop_assert!(round_up(top) >= top && round_up(top) <= top * 2.1);
        }
    }
}
