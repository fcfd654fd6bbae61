//! Search at sampling time on a whole pipeline.

mod common;

use ddpo::config::{Layers, SearchKind};
use ddpo::core::search::{Lookahead, Temperature};
use ddpo::device::DeviceName;
use ddpo::model::ModelSource;
use ddpo::train::StopFlag;
use ddpo::{
    LoadedModel, MeasureRequest, Measurement, RunConfig, SampleRequest, Sampled, SearchPlan, SearchRecord, measure,
    measure_search, sample, search,
};

fn config() -> RunConfig {
    let mut layers = Layers::default();
    layers.push_toml("test", "[sample]\nsteps = 4\nguidance = 2.0\n").unwrap();
    layers.resolve().unwrap()
}

fn request(batch_size: usize) -> SampleRequest {
    let config = config();
    SampleRequest {
        prompts: vec!["a cat".into(), "two birds".into()],
        count: 2,
        sampler: config.sample.sampler(),
        guidance: config.sample.guidance,
        negative_prompt: String::new(),
        seed: 5,
        batch_size,
        size: [None, None],
    }
}

fn plan(kind: SearchKind, candidates: usize) -> SearchPlan {
    SearchPlan {
        kind,
        reward: ddpo::reward::named("jpeg-compressibility").unwrap(),
        candidates,
        temperature: Temperature::Adaptive,
        lookahead: Lookahead::Ode(2),
        starts: candidates,
        last_timestep: 0.0,
    }
}

fn found(loaded: &LoadedModel, plan: &SearchPlan, batch_size: usize) -> (Sampled, Vec<SearchRecord>) {
    let denoiser = loaded.denoiser(&[]).unwrap();
    let mut heard = Vec::new();
    let on_step = &mut |done, total| heard.push((done, total));
    let found = search(loaded, &*denoiser, &request(batch_size), plan, &StopFlag::new(), on_step).unwrap();
    assert!(heard.last().is_some_and(|(done, total)| done == total), "{heard:?}");
    found
}

fn worth(sampled: &Sampled) -> f64 {
    let reward = ddpo::reward::named("jpeg-compressibility").unwrap();
    let prompts = sampled.prompts.clone().into();
    ddpo::score(&reward, None, &sampled.images, &prompts).unwrap().values.iter().map(|value| f64::from(*value)).sum()
}

#[test]
fn one_candidate_is_plain_sampling_and_more_are_worth_more_whatever_the_batch() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let loaded = LoadedModel::open(&ModelSource::Directory(model), DeviceName::Cpu).unwrap();
    let denoiser = loaded.denoiser(&[]).unwrap();
    let plain = sample(&loaded, &*denoiser, &request(3), &StopFlag::new(), &mut |_, _| {}).unwrap();
    for kind in [SearchKind::BestOf, SearchKind::Demon, SearchKind::DemonBoltzmann, SearchKind::DemonBest] {
        let (one, seen) = found(&loaded, &plan(kind, 1), 3);
        assert_eq!((&one.images, &one.prompts), (&plain.images, &plain.prompts), "{kind}");
        // Only a choice among whole pictures asks what its only candidate is worth.
        assert_eq!(seen.len(), if kind == SearchKind::BestOf { 4 } else { 0 });
        let (several, seen) = found(&loaded, &plan(kind, 6), 4);
        assert_eq!(several.images, found(&loaded, &plan(kind, 6), 5).0.images, "{kind}");
        assert!(worth(&several) > worth(&plain), "{kind}: {} and {}", worth(&several), worth(&plain));
        let of_first = seen.iter().filter(|seen| seen.image == 0);
        let queries: usize = of_first.map(|seen| seen.queries).sum();
        // Every step, and what the picture begins with.
        let choices = if kind == SearchKind::BestOf { 1 } else { 1 + several.rollout.steps().len() };
        assert_eq!(queries, 6 * choices, "{kind}");
    }
}

#[test]
fn a_measurement_searches_from_the_noise_it_would_draw_from() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let loaded = LoadedModel::open(&ModelSource::Directory(model), DeviceName::Cpu).unwrap();
    let denoiser = loaded.denoiser(&[]).unwrap();
    let of = request(3);
    let asked = MeasureRequest {
        prompts: of.prompts.into(),
        count: 5,
        rewards: vec![ddpo::reward::named("jpeg-compressibility").unwrap()],
        sampler: of.sampler,
        guidance: of.guidance,
        negative_prompt: of.negative_prompt,
        seed: of.seed,
        batch_size: of.batch_size,
        size: of.size,
    };
    let mean = |of: &Measurement| of.rewards["jpeg-compressibility"].iter().sum::<f32>() / 5.0;
    let plain = measure(&loaded, &*denoiser, None, &asked, &StopFlag::new(), &mut |_, _| {}).unwrap();
    for kind in [SearchKind::BestOf, SearchKind::Demon] {
        let found = |candidates| {
            let plan = plan(kind, candidates);
            measure_search(&loaded, &*denoiser, &asked, &plan, &StopFlag::new(), &mut |_, _| {}).unwrap()
        };
        let (one, _) = found(1);
        assert_eq!(
            (one.images, one.prompts, one.rewards),
            (plain.images.clone(), plain.prompts.clone(), plain.rewards.clone())
        );
        let (several, seen) = found(4);
        assert!(mean(&several) > mean(&plain), "{kind}");
        assert!(several.kl_to_base.is_nan() && seen.iter().any(|seen| seen.image == 4));
    }
}

#[test]
fn what_cannot_be_is_refused_and_a_flag_ends_it() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let loaded = LoadedModel::open(&ModelSource::Directory(model), DeviceName::Cpu).unwrap();
    let denoiser = loaded.denoiser(&[]).unwrap();
    let error = |plan: SearchPlan, stop: &StopFlag| {
        search(&loaded, &*denoiser, &request(3), &plan, stop, &mut |_, _| {}).unwrap_err().to_string()
    };
    let flag = StopFlag::new();
    assert!(error(plan(SearchKind::Demon, 0), &flag).contains("--candidates"));
    let cold = SearchPlan { temperature: Temperature::Fixed(0.0), ..plan(SearchKind::Demon, 2) };
    assert!(error(cold, &flag).contains("--temperature"));
    let of_sets = SearchPlan { reward: ddpo::reward::named("diversity").unwrap(), ..plan(SearchKind::BestOf, 2) };
    assert!(error(of_sets, &flag).contains("a reward of single pictures"));
    flag.stop();
    assert_eq!(error(plan(SearchKind::Demon, 2), &flag), ddpo::Error::Stopped.to_string());
}
