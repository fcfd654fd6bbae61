//! How rewards are distributed, from evaluation to evaluation: a ridge each, the first on top.

use ddpo_train::{EvalRecord, Histogram};

use super::axis::Axis;
use super::chart::{LEFT, RIGHT, WIDTH, push};
use super::run::ReportRun;
use super::words::{escape, number, with_unit};

/// Ridges at most; of more evaluations as many are shown, evenly.
const MOST: usize = 12;

/// From ridge to ridge, and how high one may be.
const PITCH: f64 = 26.0;
const HEIGHT: f64 = 38.0;
const TOP: f64 = 30.0;

/// The ridges of a run's evaluations, or nothing where no histogram is recorded.
pub(super) fn ridges(run: &ReportRun) -> String {
    let recorded: Vec<&EvalRecord> =
        run.records.evals.iter().filter(|eval| !eval.reward_histogram.counts.is_empty()).collect();
    let shown = evenly(&recorded);
    let histograms = || shown.iter().map(|eval| &eval.reward_histogram);
    let Some(axis) = Axis::over(histograms().flat_map(|histogram| [histogram.low, histogram.high])) else {
        return String::new();
    };
    let densest = histograms().flat_map(|histogram| densities(histogram, &axis)).fold(0.0, f64::max);
    let height = TOP + HEIGHT + PITCH * shown.len() as f64 + 24.0;
    let mut out = format!(
        "<figure class=\"chart\"><figcaption><b>Rewards of the evaluation pictures</b></figcaption>\n\
         <svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"the distribution of rewards, from evaluation to evaluation\">\n"
    );
    let base = |row: usize| TOP + HEIGHT + PITCH * row as f64;
    let left = |value: f64| LEFT + axis.share(value) * (WIDTH - LEFT - RIGHT);
    for tick in axis.ticks() {
        let (x, bottom) = (left(tick), base(shown.len().saturating_sub(1)));
        let label = axis.label(tick).replace('-', "\u{2212}");
        push(
            &mut out,
            format_args!(
                "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/><text class=\"middle\" x=\"{x:.1}\" y=\"{}\">{label}</text>\n",
                bottom + 17.0
            ),
        );
    }
    for (row, eval) in shown.iter().enumerate() {
        ridge(&mut out, run, eval, &axis, base(row), HEIGHT / densest);
    }
    push(&mut out, format_args!("<text class=\"unit\" x=\"2\" y=\"13\">epoch</text>"));
    let unit = run.unit().map_or("reward".to_owned(), |unit| format!("reward, {unit}"));
    let (x, y) = ((LEFT + WIDTH - RIGHT) / 2.0, height - 4.0);
    push(&mut out, format_args!("<text class=\"middle unit\" x=\"{x}\" y=\"{y}\">{}</text></svg>\n", escape(&unit)));
    out + "<p class=\"note\">Each ridge is an evaluation, the base model on top; the stroke is its mean. A ridge that moves as a whole \
           says that all pictures gained; a ridge that grows narrow, that they have become alike.</p></figure>\n"
}

fn ridge(out: &mut String, run: &ReportRun, eval: &EvalRecord, axis: &Axis, base: f64, scale: f64) {
    let histogram = &eval.reward_histogram;
    let left = |value: f64| LEFT + axis.share(value) * (WIDTH - LEFT - RIGHT);
    let (start, width) = bins(histogram, axis);
    let mut path = String::new();
    for (i, density) in densities(histogram, axis).into_iter().enumerate() {
        // The first value is half a bin before the first bin.
        let (x, letter) = (left(start + (i as f64 - 0.5) * width), if i == 0 { 'M' } else { 'L' });
        push(&mut path, format_args!("{letter}{x:.1} {:.1}", base - scale * density));
    }
    path.push('Z');
    let (colour, mean) = (usize::from(eval.epoch > 0), left(eval.reward_mean));
    let pictures: u64 = histogram.counts.iter().sum();
    push(
        out,
        format_args!(
            "<g class=\"s{colour} ridge\"><text class=\"end\" x=\"{}\" y=\"{base:.1}\">{}</text><path class=\"area\" d=\"{path}\">\
             <title>epoch {}: {pictures} pictures, {} to {}, mean {}</title></path>",
            LEFT - 8.0,
            eval.epoch,
            eval.epoch,
            number(histogram.low),
            with_unit(histogram.high, run.unit()),
            with_unit(eval.reward_mean, run.unit()),
        ),
    );
    if eval.reward_mean.is_finite() {
        push(out, format_args!("<path class=\"line\" d=\"M{mean:.1} {base:.1}v-9\"/>"));
    }
    *out += "</g>\n";
}

/// Where the bins begin and how wide one is. Values that are all equal get a width that can be seen.
fn bins(histogram: &Histogram, axis: &Axis) -> (f64, f64) {
    let count = histogram.counts.len().max(1) as f64;
    let least = (axis.ticks().last().unwrap_or(&0.0) - axis.ticks().first().unwrap_or(&0.0)) / 400.0;
    (histogram.low, ((histogram.high - histogram.low) / count).max(least))
}

/// The share of the values in each bin, over its width, smoothed over neighbours; with an empty bin at either end.
fn densities(histogram: &Histogram, axis: &Axis) -> Vec<f64> {
    let (total, width) = (histogram.counts.iter().sum::<u64>().max(1) as f64, bins(histogram, axis).1);
    let share = |bin: usize| histogram.counts.get(bin).map_or(0.0, |&count| count as f64 / total / width);
    let smooth = |i: usize| {
        // Position i is the bin i − 1; what is before the first bin is nothing.
        let [before, at, after] = [i.wrapping_sub(2), i.wrapping_sub(1), i].map(share);
        (before + 2.0 * at + after) / 4.0
    };
    let inner = histogram.counts.len();
    // The root: one evaluation of equal pictures would flatten all others.
    (0..inner + 2).map(|i| if i == 0 || i == inner + 1 { 0.0 } else { smooth(i).sqrt() }).collect()
}

/// At most [`MOST`] of them, with the first and the last.
fn evenly<'a>(evals: &[&'a EvalRecord]) -> Vec<&'a EvalRecord> {
    if evals.len() <= MOST {
        return evals.to_vec();
    }
    (0..MOST).map(|i| evals[i * (evals.len() - 1) / (MOST - 1)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Records;

    fn run(rewards: &[&[f32]]) -> ReportRun {
        let eval = |(epoch, rewards): (usize, &&[f32])| EvalRecord {
            epoch: epoch as u64,
            reward_mean: f64::from(rewards.iter().sum::<f32>()) / rewards.len() as f64,
            reward_histogram: Histogram::of(rewards),
            ..EvalRecord::default()
        };
        let evals = rewards.iter().enumerate().map(eval).collect();
        ReportRun { records: Records { evals, ..Records::default() }, ..ReportRun::default() }
    }

    #[test]
    fn a_ridge_is_an_evaluation() {
        let svg = ridges(&run(&[&[0.0, 1.0, 2.0], &[1.0, 1.0, 1.0]]));
        assert_eq!(svg.matches("class=\"area\"").count(), 2);
        assert!(svg.contains("epoch 1: 3 pictures, 1.00 to 1.00, mean 1.00"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert_eq!(ridges(&run(&[])), "");
    }

    #[test]
    fn of_many_evaluations_the_first_and_the_last_are_shown() {
        let many: Vec<&[f32]> = vec![&[0.0, 1.0]; 101];
        let svg = ridges(&run(&many));
        assert_eq!(svg.matches("class=\"area\"").count(), MOST);
        assert!(svg.contains("<title>epoch 0:") && svg.contains("<title>epoch 100:"));
    }
}
