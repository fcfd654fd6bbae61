//! The loss of a policy gradient: an objective on the log-probabilities of actions.

use burn::tensor::{Tensor, TensorData};
use ddpo_core::objective::{Diagnostics, Loss, PairCounts, ReferenceTerms, StepTerms};
use ddpo_core::scheduler::trained_steps;
use ddpo_core::{
    Action, Coefficients, Denoiser, Epoch, Guided, LogProbTerms, Minibatch, Noise, Objective, Scheduler, StepIndex,
    TrainingSet, Transition, propose,
};

use super::fork::ForkPolicy;
use super::optimise::{BatchLoss, Pass, Reading};
use super::trainer_core::TrainerCore;
use crate::error::{Error, Location, Result};
use crate::non_finite::NonFiniteBatch;
use crate::plan::DdpoPlan;
use crate::record::{PairsRecord, Record, UpdateRecord};

/// An objective on a training set.
pub(super) struct PolicyGradientLoss<'a, const D: usize> {
    pub plan: &'a DdpoPlan,
    pub objective: &'a dyn Objective,
    pub set: &'a TrainingSet<D>,
    /// The steps that are trained on.
    trained: Vec<StepIndex>,
    /// Of every step, the standard deviation and the sensitivity over the mean of those that are trained on.
    table: Vec<[f64; 2]>,
}

/// What an objective may want to know of the steps of a minibatch, `[B]` each.
struct StepColumns {
    kl_to_old: Tensor<1>,
    std: Tensor<1>,
    sensitivity: Tensor<1>,
}

impl<'a, const D: usize> PolicyGradientLoss<'a, D> {
    /// The loss of an objective on a set that was sampled with `scheduler`.
    ///
    /// # Errors
    /// Those of the scheduler.
    pub fn new(
        plan: &'a DdpoPlan,
        objective: &'a dyn Objective,
        set: &'a TrainingSet<D>,
        scheduler: &dyn Scheduler,
    ) -> Result<Self> {
        let trained = trained_steps(scheduler, plan.first_timestep)?;
        let steps = (0..scheduler.timesteps().len()).map(|step| scheduler.coefficients(StepIndex(step)));
        let steps = steps.collect::<ddpo_core::Result<Vec<_>>>()?;
        let table = steps.iter().map(|step| step.std).zip(relative_sensitivities(&steps, &trained));
        let table = table.map(|(std, sensitivity)| [std, sensitivity]).collect();
        Ok(Self { plan, objective, set, trained, table })
    }

    /// The actions of each pass of each optimizer step of an epoch: all chains in each of the inner epochs, minibatch by
    /// minibatch; the j-th pass over a minibatch has the j-th step of each chain's own permutation.
    pub fn steps(&self, noise: Noise) -> Result<Vec<Vec<Vec<Action>>>> {
        let (plan, unit) = (self.plan, self.objective.needs().unit);
        let mut steps = Vec::with_capacity(plan.updates_per_epoch());
        for pass in 0..plan.inner_epochs as u64 {
            let rows = self.set.row_order(noise, pass, unit)?;
            let orders = self.set.step_orders(noise, pass, &self.trained, plan.timestep_fraction, unit)?;
            let updates = rows.chunks(plan.train_batch * plan.accumulation);
            steps.extend(updates.map(|rows| passes(rows, plan.train_batch, &orders)));
        }
        Ok(steps)
    }

    /// What the objective is told of the steps.
    fn step_columns(
        &self,
        noise: Noise,
        proposal: &Transition<D>,
        batch: &Minibatch<D>,
        actions: &[Action],
    ) -> Result<StepColumns> {
        let drawn = self.set.drawn_noise(noise, actions);
        let column = |i: usize| {
            let values = actions.iter().map(|action| self.table[action.step.0][i] as f32).collect();
            Tensor::from_data(TensorData::new(values, [actions.len()]), &batch.next.device())
        };
        Ok(StepColumns {
            kl_to_old: proposal.kl_from_draw(&batch.next, &drawn, self.plan.sampling.reduction)?,
            std: column(0),
            sensitivity: column(1),
        })
    }

    fn propose<P>(
        &self,
        core: &TrainerCore<P, D>,
        denoiser: &dyn Denoiser<D>,
        batch: &Minibatch<D>,
    ) -> Result<Transition<D>> {
        let unconditional = core.parts.prompts.unconditional().clone();
        let guided = Guided::new(denoiser, unconditional, self.plan.train_guidance)?;
        Ok(propose(&guided, &*core.parts.scheduler, &batch.steps, &batch.sample, &batch.condition)?)
    }
}

/// The sensitivity of every step over the mean of those that are trained on. That of a step from pure noise is infinite and not in the
/// mean: equal steps leave out what an error of the noise, of which such a step has nothing to predict, would have meant there.
fn relative_sensitivities(steps: &[Coefficients], trained: &[StepIndex]) -> Vec<f64> {
    let trained = trained.iter().map(|step| steps[step.0].sensitivity()).filter(|value| value.is_finite());
    let (total, count) = trained.fold((0.0, 0), |(total, count), value| (total + value, count + 1));
    let mean = total / f64::from(count.max(1));
    steps.iter().map(|step| step.sensitivity() / mean).collect()
}

/// The actions of each pass over the minibatches of one optimizer step.
fn passes(rows: &[usize], train_batch: usize, orders: &[Vec<StepIndex>]) -> Vec<Vec<Action>> {
    let timesteps = orders.first().map_or(0, Vec::len);
    let pass = |batch: &[usize], j: usize| batch.iter().map(|&row| Action { row, step: orders[row][j] }).collect();
    rows.chunks(train_batch).flat_map(|batch| (0..timesteps).map(move |j| pass(batch, j))).collect()
}

impl<P: ForkPolicy<D>, const D: usize> BatchLoss<P, D> for PolicyGradientLoss<'_, D> {
    type Row = Action;

    /// The objective, a mean over the actions, through the same path as the rollout's log-probabilities.
    fn pass(&self, core: &TrainerCore<P, D>, policy: &P, actions: &[Action]) -> Result<Pass> {
        let (batch, reduction) = (self.set.minibatch(actions)?, self.plan.sampling.reduction);
        let proposal = self.propose(core, policy, &batch)?;
        let new = proposal.log_prob(&batch.next, reduction)?;
        let needs = self.objective.needs();
        let reference = match needs.reference {
            true => {
                let base = self.propose(core, &*policy.reference(), &batch)?;
                Some((base.log_prob(&batch.next, reduction)?, proposal.kl(&base, reduction)?))
            }
            false => None,
        };
        let reference = reference.as_ref().map(|(log_prob, kl)| ReferenceTerms { log_prob, kl });
        let columns = needs.steps.then(|| self.step_columns(core.noise(), &proposal, &batch, actions)).transpose()?;
        let steps = columns.as_ref().map(|StepColumns { kl_to_old, std, sensitivity }| StepTerms {
            kl_to_old,
            std,
            sensitivity,
        });
        let (old, advantage) = (&batch.old_log_prob, &batch.advantage);
        let terms = LogProbTerms { new: &new, old, advantage, reference, steps, unit: needs.unit };
        let Loss { value, kl_to_base, clipped, pairs } = self.objective.loss(&terms)?;
        // What is absent is not a number, so that every reading has the same places.
        let or_nan = |value: Option<Tensor<1>>| value.unwrap_or_else(|| Tensor::full([1], f32::NAN, &old.device()));
        let pairs =
            or_nan(pairs.map(|PairCounts { tied, ranked, stranded }| Tensor::cat(vec![tied, ranked, stranded], 0)));
        Pass::backward(policy, actions.len(), value, &new, [old.clone(), or_nan(kl_to_base), or_nan(clipped), pairs])
    }

    fn record(&self, epoch: Epoch, step: u64, grad_norm: f64, passes: &[Reading]) -> Record {
        let mut record = UpdateRecord { epoch: epoch.0, step, grad_norm, ..UpdateRecord::default() };
        let rows: f64 = passes.iter().map(|pass| pass.rows).sum();
        let mut kl_to_base = None;
        for Reading { rows, loss, per_row, others } in passes {
            let old = others.first().map_or(&[][..], Vec::as_slice);
            let other = |i: usize| others.get(i).and_then(|value| value.first()).filter(|value| !value.is_nan());
            let diagnostics = Diagnostics::of(per_row, old, self.objective.clip_range());
            record.loss += rows * loss;
            record.approx_kl += rows * f64::from(diagnostics.approx_kl);
            record.clip_fraction += rows * f64::from(other(2).copied().unwrap_or(diagnostics.clip_fraction));
            record.ratio_max_deviation = record.ratio_max_deviation.max(diagnostics.ratio_max_deviation.into());
            if let Some(&kl) = other(1) {
                *kl_to_base.get_or_insert(0.0) += rows * f64::from(kl);
            }
        }
        Record::Update(UpdateRecord {
            loss: record.loss / rows,
            approx_kl: record.approx_kl / rows,
            clip_fraction: record.clip_fraction / rows,
            kl_to_base: kl_to_base.map(|kl| kl / rows),
            pairs: pair_shares(passes),
            ..record
        })
    }

    fn location(&self, core: &TrainerCore<P, D>, action: Action) -> Location {
        let prompt = core.parts.prompts.texts(&self.set.prompts()[action.row..=action.row]).pop();
        Location { sample: Some(action.row), step: Some(action.step.0), prompt, ..Location::default() }
    }

    fn describe(&self, core: &TrainerCore<P, D>, rows: &[Action], record: NonFiniteBatch) -> Result<NonFiniteBatch> {
        let batch = self.set.minibatch(rows)?;
        let proposal = self.propose(core, &core.parts.policy, &batch);
        let log_prob = proposal.and_then(|proposal| Ok(proposal.log_prob(&batch.next, self.plan.sampling.reduction)?));
        let record = record
            .with("sample", &batch.sample)
            .with("next", &batch.next)
            .with("old_log_prob", &batch.old_log_prob)
            .with("advantage", &batch.advantage);
        Ok(match log_prob {
            Ok(log_prob) => record.with("log_prob", &log_prob),
            Err(_) => record,
        })
    }

    fn timestep(&self, core: &TrainerCore<P, D>, action: Action) -> f64 {
        core.parts.scheduler.timesteps()[action.step.0].0
    }

    fn drift(&self, record: &Record) -> Option<Error> {
        match record {
            // Under another guidance than that of the samples the probabilities are others by intention.
            Record::Update(update) if self.plan.train_guidance == self.plan.sampling.sample_guidance => {
                drift(update.ratio_max_deviation, self.objective.clip_range())
            }
            _ => None,
        }
    }

    fn unit(&self) -> usize {
        self.objective.needs().unit
    }
}

/// What the pairs of an optimizer step were like, of objectives that compare pairs.
fn pair_shares(passes: &[Reading]) -> Option<PairsRecord> {
    let mut counts = [0.0; 3];
    for pass in passes {
        let &[tied, ranked, stranded] = pass.others.get(3)?.as_slice() else { return None };
        counts.iter_mut().zip([tied, ranked, stranded]).for_each(|(sum, count)| *sum += f64::from(count));
    }
    let rows: f64 = passes.iter().map(|pass| pass.rows).sum();
    let [tied, ranked, stranded] = counts;
    let decided = rows / 2.0 - tied;
    let accuracy = if decided > 0.0 { ranked / decided } else { f64::NAN };
    Some(PairsRecord { pair_ties: 2.0 * tied / rows, pair_accuracy: accuracy, pair_stranded: stranded / rows })
}

/// A warning where a ratio that ought to be 1 is away from it by a material part of the clip range: then clipping is decided
/// by rounding.
fn drift(deviation: f64, clip_range: f64) -> Option<Error> {
    /// The share of the clip range from where on a deviation matters.
    const MATERIAL: f64 = 0.1;
    (deviation > MATERIAL * clip_range).then_some(Error::RatioDrift { deviation, clip_range })
}

#[cfg(test)]
mod tests {
    use ddpo_core::schedule::{BetaSchedule, NoiseSchedule, Spacing};
    use ddpo_core::scheduler::{Ddim, DdimConfig};

    use super::*;

    #[test]
    fn a_ratio_that_is_away_from_one_before_any_update_is_told_of() {
        assert!(drift(0.0, 1e-4).is_none() && drift(1e-5, 1e-4).is_none() && drift(1.0, f64::INFINITY).is_none());
        let message = drift(2e-5, 1e-4).unwrap().to_string();
        assert!(
            message.starts_with("ratios of the first update are up to 2e-5 away from 1, with a clip range of 1e-4"),
            "{message}"
        );
    }

    #[test]
    fn a_step_from_pure_noise_leaves_the_mean_of_the_others_as_it_is() {
        let schedule = NoiseSchedule::new(BetaSchedule::STABLE_DIFFUSION, 1000).unwrap();
        let relative = |schedule: &NoiseSchedule| {
            let config = DdimConfig { steps: 10, spacing: Spacing::Trailing, ..DdimConfig::default() };
            let scheduler = Ddim::new(schedule, config).unwrap();
            let steps: Vec<Coefficients> =
                (0..10).map(|step| scheduler.coefficients(StepIndex(step)).unwrap()).collect();
            relative_sensitivities(&steps, &trained_steps(&scheduler, 0.0).unwrap())
        };
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        assert!((mean(&relative(&schedule)) - 1.0).abs() < 1e-12);
        let with_pure_noise = relative(&schedule.rescale_zero_terminal_snr().unwrap());
        assert_eq!(with_pure_noise[0], f64::INFINITY);
        assert!((mean(&with_pure_noise[1..]) - 1.0).abs() < 1e-12, "{with_pure_noise:?}");
    }
}
