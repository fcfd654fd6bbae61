//! Evaluating a policy: its pictures of the evaluation's prompts, and what judges them.

use std::time::Instant;

use ddpo_core::distance::{DistanceMeasure, ModelDistance};
use ddpo_core::{Domain, Epoch, Judge, Noise, PromptId, RgbImage, Rollout, SampleId};

use super::early_stopping::Findings;
use super::evaluation::{Evaluation, share_as_asked};
use super::evidence::Evidence;
use super::exchange::{exchange_images, exchange_numbers};
use super::fork::ForkPolicy;
use super::joint::{self, Sampled, View};
use super::sample::OnBatch;
use super::scorers::{Scorers, Share};
use super::scores::{Scores, tell};
use super::trainer_core::TrainerCore;
use crate::error::Result;
use crate::events::{Event, Progress, Samples, Stage};
use crate::histogram::Histogram;
use crate::observer::Observer;
use crate::record::{EvalRecord, Record};
use crate::sampler::BatchSampler;

impl<P: ForkPolicy<D>, const D: usize> TrainerCore<P, D> {
    /// Whether the state the trainer is in is to be evaluated and has not been.
    pub(super) fn evaluation_due(&self) -> bool {
        let epochs = self.counters.epochs;
        let due = |evaluation: &Evaluation| epochs.is_multiple_of(evaluation.every);
        self.parts.evaluation.as_ref().is_some_and(due) && self.counters.evaluated <= epochs
    }

    /// Evaluates the policy as it is, or its average where one is kept, and records rewards, divergence, diversity and pictures.
    ///
    /// # Errors
    /// Those of the parts; [`Interrupted`](crate::Error::Interrupted), after which the evaluation is still to be done.
    pub fn evaluate(&mut self, observer: &mut Observer<'_>) -> Result<()> {
        let Some(evaluation) = &self.parts.evaluation else { return Ok(()) };
        let (epoch, start) = (self.counters.epochs, Instant::now());
        let views = self.views(evaluation, observer)?;
        let is_base = self.early_stopping.remember(joint::by_task(&views));
        let base = self.early_stopping.base();
        let names: Vec<&str> = if self.has_tasks() {
            self.parts.tasks.iter().map(|task| task.name.as_str()).collect()
        } else {
            Vec::new()
        };
        let rewards = joint::rewards(&views, &names, base);
        let held_out_rewards = joint::held_out(&views, &evaluation.held_out);
        let (images, prompts) =
            (joint::each(&views, |view| &view.sampled.images), joint::each(&views, |view| &view.prompts));
        let as_asked = joint::verdicts(&views);
        let distance = ModelDistance::mean(&joint::each(&views, |view| &view.sampled.distances));
        let improved = joint::improved(&views, &evaluation.prompts, base);
        let mut record = EvalRecord {
            epoch,
            reward_mean: joint::reward_mean(&views, &names, base),
            held_out: held_out_rewards.iter().map(|(name, values)| (name.clone(), mean_of(values))).collect(),
            reward_parts: joint::reward_parts(&views, &names),
            kl_to_base: mean(joint::each(&views, |view| &view.sampled.kl).into_iter()),
            epsilon_distance: distance.map(|distance| distance.epsilon),
            x0_distance: distance.map(|distance| distance.x0),
            diversity: (evaluation.diversity)(&images),
            as_asked: as_asked.as_deref().and_then(share_as_asked),
            reward_histogram: Histogram::of(&rewards),
            improved: (!is_base).then(|| mean(improved.iter().copied())),
            rewards: rewards.clone(),
            held_out_rewards,
            tasks: joint::records(&views, &names, (!is_base).then_some(&improved)),
            product_epoch: None,
            eval_seconds: start.elapsed().as_secs_f64(),
        };
        let watched = evaluation.watched(&record);
        let found = Findings {
            epoch,
            value: watched,
            kl: record.kl_to_base,
            distance: record.x0_distance,
            as_asked: record.as_asked,
        };
        let halt = self.early_stopping.judge(evaluation.stop, found);
        if halt.is_some() && evaluation.stop.hands_back_best {
            record.product_epoch = self.early_stopping.best_epoch();
        }
        let samples = Samples { epoch, images: &images, prompts: &prompts, rewards: &rewards };
        observer.event(&Event::Samples(samples));
        observer.record(&Record::Eval(record));
        // The evaluation of a last state that comes at no multiple of `every` ends nothing: the run is over.
        if let Some(reason) = halt.filter(|_| epoch.is_multiple_of(evaluation.every)) {
            observer.event(&Event::Halted { epoch, reason });
        }
        self.counters.evaluated = epoch + 1;
        // It has been part of the evaluation's seconds, and none of the next epoch's.
        self.parts.ranks.take_time();
        Ok(())
    }

    /// The pictures of each list of prompts that there is, and what judges them.
    fn views(&self, evaluation: &Evaluation, observer: &mut Observer<'_>) -> Result<Vec<View>> {
        let views = evaluation.views();
        let total = views.len();
        let view = |(number, tasks): (usize, Vec<usize>)| {
            let ids = evaluation.prompt_ids(tasks[0]);
            let prompts = evaluation.prompts.texts(&ids);
            let optimised = tasks.iter().map(|&task| &self.parts.tasks[task].reward);
            let judges: Vec<&Judge> = optimised.chain(&evaluation.held_out).collect();
            let (sampled, scores) = self.sample_and_judge(evaluation, &judges, &ids, (number, total), observer)?;
            let as_asked = evaluation.as_asked.as_ref().map(|judge| judge(&sampled.images, &prompts)).transpose()?;
            Ok(View { tasks, prompts, sampled, scores, as_asked })
        };
        views.into_iter().enumerate().map(view).collect()
    }

    /// The pictures of an evaluation, and what each of `judges` thinks of them. `part` is the number of the list of prompts, and how
    /// many there are.
    fn sample_and_judge(
        &self,
        evaluation: &Evaluation,
        judges: &[&Judge],
        ids: &[PromptId],
        part: (usize, usize),
        observer: &mut Observer<'_>,
    ) -> Result<(Sampled, Vec<Scores>)> {
        let (epoch, policy, prompts) = (self.counters.epochs, self.plan.non_finite, &evaluation.prompts);
        let (sampled, said, evidence) = std::thread::scope(|scope| {
            let rows = self.parts.ranks.share_in_batches(evaluation.count, evaluation.batch);
            let share = Share { ranks: &self.parts.ranks, rows };
            let mut scorers = Scorers::start(scope, judges.to_vec(), epoch, evaluation.batch, policy, share);
            let mut on_batch = |images: &[RgbImage], ids: &[PromptId]| scorers.put(images, prompts, ids);
            let sampled = self.sample_evaluation(evaluation, ids, part, observer, &mut on_batch);
            let judged = sampled.and_then(|sampled| {
                let said = scorers.finish(&sampled.images, prompts, ids, observer)?;
                Ok((sampled, said))
            });
            scorers.evidence.tell(observer);
            let evidence = std::mem::replace(&mut scorers.evidence, Evidence::new(epoch, policy));
            judged.map(|(sampled, said)| (sampled, said, evidence))
        })?;
        let texts = prompts.texts(ids);
        let scores = judges.iter().zip(said).map(|(judge, said)| {
            tell(judge.name(), &said, epoch, Stage::Evaluating, &texts, observer);
            Scores::new(said, &evidence, epoch, &texts)
        });
        Ok((sampled, scores.collect::<Result<_>>()?))
    }

    fn sample_evaluation(
        &self,
        evaluation: &Evaluation,
        ids: &[PromptId],
        (part, parts): (usize, usize),
        observer: &mut Observer<'_>,
        on_batch: OnBatch<'_>,
    ) -> Result<Sampled> {
        let epoch = self.counters.epochs;
        let chains: Vec<_> = (0..).map(SampleId).zip(ids.iter().copied()).collect();
        let noise = Noise::new(evaluation.seed, Domain::Evaluation);
        let (policy, ranks, base) = (self.product(), &self.parts.ranks, || self.parts.policy.reference());
        let sampler = BatchSampler {
            // The same noise in every evaluation, and for every task: what changes in the pictures is the policy.
            sampling: self.sampling(&evaluation.prompts, noise, Epoch(0)),
            model: &|| policy.sampler(),
            reference: Some(&base),
            prompts: &evaluation.prompts,
            batch: evaluation.batch,
            lanes: &self.lanes,
            stop: observer.stop(),
        };
        let mut sampled = Sampled { images: Vec::new(), kl: Vec::new(), distances: Vec::new() };
        let outcome = sampler.each(
            &chains[ranks.share_in_batches(chains.len(), evaluation.batch)],
            |rollout, kl| {
                let images = self.parts.decoder.decode(rollout.last_state())?;
                let distances = self.distances(evaluation, &rollout)?;
                Ok((Sampled { images, kl, distances }, rollout.prompts().to_vec()))
            },
            &mut |done, total| {
                let (done, total) = (part * total + done, parts * total);
                observer.progress(Progress { stage: Stage::Evaluating, epoch, done, total });
            },
            |(batch, ids)| {
                on_batch(&batch.images, &ids)?;
                sampled.images.extend(batch.images);
                sampled.kl.extend(batch.kl);
                sampled.distances.extend(batch.distances);
                Ok(())
            },
        );
        // A set flag explains any failure of the model: it is what made it refuse.
        outcome.map_err(|error| observer.check(epoch).err().unwrap_or(error))?;
        let Sampled { images, kl, distances } = sampled;
        let epsilon = exchange_numbers(ranks, distances.iter().map(|distance| distance.epsilon).collect())?;
        let x0 = exchange_numbers(ranks, distances.iter().map(|distance| distance.x0).collect())?;
        let distances = epsilon.into_iter().zip(x0).map(|(epsilon, x0)| ModelDistance { epsilon, x0 }).collect();
        Ok(Sampled { images: exchange_images(ranks, images)?, kl: exchange_numbers(ranks, kl)?, distances })
    }
}

impl<P: ForkPolicy<D>, const D: usize> TrainerCore<P, D> {
    /// The policy's distance from the base model on what each chain of an evaluation arrived at.
    fn distances(&self, evaluation: &Evaluation, rollout: &Rollout<D>) -> Result<Vec<ModelDistance>> {
        let Some(schedule) = &evaluation.schedule else { return Ok(Vec::new()) };
        let noise = Noise::new(evaluation.seed, Domain::Evaluation);
        let measure = DistanceMeasure { schedule, noise, draws: DistanceMeasure::DRAWS };
        let (policy, base) = (self.product().sampler(), self.parts.policy.reference());
        Ok(measure.between(&*policy, &*base, rollout.last_state(), rollout.condition(), rollout.samples())?)
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

fn mean_of(values: &[f32]) -> f64 {
    mean(values.iter().map(|&value| f64::from(value)))
}
