//! A pipeline's `scheduler_config.json`, as the noise levels and the sampler it asks for.

use ddpo_core::{
    Clipping, NoiseSchedule, PredictionKind,
    schedule::{BetaSchedule, Spacing},
    scheduler::{
        Consistency, ConsistencyConfig, Ddim, DdimConfig, Ddpm, DdpmConfig, EulerAncestral, EulerAncestralConfig,
        Scheduler,
    },
};
use ddpo_nn::{Error, Fields, Result, size};
use serde_json::{Value, json};

const COMPONENT: &str = "scheduler";

/// The schedulers whose configuration describes a model that DDIM can sample, as diffusers' `from_config` takes it.
const KNOWN: [&str; 21] = [
    "DDIMScheduler",
    "DDIMInverseScheduler",
    "DDIMParallelScheduler",
    "PNDMScheduler",
    "DDPMScheduler",
    "DDPMParallelScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "LMSDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverMultistepInverseScheduler",
    "DPMSolverSinglestepScheduler",
    "DPMSolverSDEScheduler",
    "DEISMultistepScheduler",
    "UniPCMultistepScheduler",
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "LCMScheduler",
    "SASolverScheduler",
    "TCDScheduler",
];

/// Fields that say how one of the [`KNOWN`] schedulers goes about its steps, and nothing about the model. The samplers of this
/// crate have no use for them, and diffusers' `from_config` of these samplers drops them, too.
const OF_OTHER_SAMPLERS: [&str; 30] = [
    "algorithm_type",
    "corrector_order",
    "disable_corrector",
    "dynamic_thresholding_ratio",
    "euler_at_final",
    "final_sigmas_type",
    "flow_shift",
    "interpolation_type",
    "lambda_min_clipped",
    "lower_order_final",
    "noise_sampler_seed",
    "original_inference_steps",
    "predict_x0",
    "predictor_order",
    "sample_max_value",
    "sigma_max",
    "sigma_min",
    "skip_prk_steps",
    "solver_order",
    "solver_p",
    "solver_type",
    "tau_func",
    "time_shift_type",
    "timestep_scaling",
    "timestep_type",
    "use_beta_sigmas",
    "use_dynamic_shifting",
    "use_exponential_sigmas",
    "use_karras_sigmas",
    "use_lu_lambdas",
];

/// A way to sample a model, whichever its own file names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampler {
    /// DDIM with this share of DDPM's noise.
    Ddim {
        /// 0 draws nothing.
        eta: f64,
    },
    /// DDPM, whose last step draws nothing.
    Ddpm,
    /// Euler's method with ancestral noise, whose last step draws nothing.
    EulerAncestral,
    /// A clean guess and fresh noise at every step, whose last draws nothing.
    Consistency,
}

/// How a model was trained to denoise, and how its steps are laid out.
#[derive(Clone, Debug, PartialEq)]
pub struct SchedulerConfig {
    /// Number of noise levels.
    pub num_train_timesteps: usize,
    /// The variances.
    pub betas: BetaSchedule,
    /// Explicit variances, which replace `betas`.
    pub trained_betas: Option<Vec<f64>>,
    /// What the model predicts.
    pub prediction: PredictionKind,
    /// How a sampler's steps are spread over the noise levels.
    pub spacing: Spacing,
    /// Whether the file says so itself. Where it does not, samplers have different defaults.
    pub spacing_is_explicit: bool,
    /// Whether a sampler's last step arrives at clean data.
    pub set_alpha_to_one: bool,
    /// Added to every timestep of `leading` spacing.
    pub steps_offset: usize,
    /// What a sampler does to the predicted clean sample.
    pub clipping: Clipping,
    /// Whether the noise levels are rescaled so that the last is pure noise.
    pub rescale_betas_zero_snr: bool,
    /// A DDPM file's choice of variance; written back only as its default, `fixed_small`.
    pub variance_type: Option<String>,
}

impl Default for SchedulerConfig {
    /// Stable Diffusion's.
    fn default() -> Self {
        Self {
            num_train_timesteps: 1000,
            betas: BetaSchedule::STABLE_DIFFUSION,
            trained_betas: None,
            prediction: PredictionKind::Epsilon,
            spacing: Spacing::Leading { offset: 1 },
            spacing_is_explicit: false,
            set_alpha_to_one: false,
            steps_offset: 1,
            clipping: Clipping::None,
            rescale_betas_zero_snr: false,
            variance_type: None,
        }
    }
}

impl SchedulerConfig {
    /// Reads a `scheduler_config.json` as `DDIMScheduler.from_config(pipe.scheduler.config)` does in diffusers: what another
    /// scheduler's file leaves out has DDIM's default, and what only that scheduler has a use for is passed over. A field of no
    /// scheduler is refused.
    ///
    /// Two fields have one right value in a Stable Diffusion pipeline, which its constructor puts in the place of any other that
    /// a file says: `clip_sample` is false, since latents may leave [-1, 1], and `steps_offset` is 1.
    ///
    /// # Errors
    ///
    /// A field that cannot be parsed or is not implemented, by name.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let mut fields = Fields::parse(COMPONENT, "scheduler/scheduler_config.json", json)?;
        let class: String = fields.take("_class_name", "DDIMScheduler".to_owned())?;
        if !KNOWN.contains(&class.as_str()) {
            return Err(fields.refuse("_class_name", &json!(class), format!("one of {}", KNOWN.join(", "))));
        }
        fields.fixed("thresholding", &[false.into()])?;
        let num_train_timesteps = size(COMPONENT, "num_train_timesteps", fields.take("num_train_timesteps", 1000)?)?;
        let steps_offset = read_offset(&mut fields)?;
        let config = Self {
            num_train_timesteps,
            betas: read_betas(&mut fields)?,
            trained_betas: fields.optional("trained_betas")?,
            prediction: read_prediction(&mut fields)?,
            spacing_is_explicit: fields.has("timestep_spacing"),
            spacing: read_spacing(&mut fields, steps_offset)?,
            set_alpha_to_one: fields.take("set_alpha_to_one", true)?,
            steps_offset,
            clipping: read_clipping(&mut fields)?,
            rescale_betas_zero_snr: fields.take("rescale_betas_zero_snr", false)?,
            variance_type: fields.optional("variance_type")?,
        };
        // A model of a flow, whatever its prediction is called, is another kind of model.
        fields.fixed("use_flow_sigmas", &[false.into()])?;
        // What became `prediction_type` in release 0.10 of diffusers.
        fields.fixed("predict_epsilon", &[true.into()])?;
        fields.ignore(&OF_OTHER_SAMPLERS);
        fields.finish()?;
        config.schedule()?;
        Ok(config)
    }

    /// The noise levels.
    ///
    /// # Errors
    ///
    /// If the variances leave the open interval from 0 to 1.
    pub fn schedule(&self) -> Result<NoiseSchedule> {
        let schedule = match &self.trained_betas {
            None => NoiseSchedule::new(self.betas, self.num_train_timesteps),
            Some(betas) => NoiseSchedule::from_alphas_cumprod(cumulate(betas)),
        };
        let schedule = if self.rescale_betas_zero_snr {
            schedule.and_then(|schedule| schedule.rescale_zero_terminal_snr())
        } else {
            schedule
        };
        schedule.map_err(|error| Error::config(COMPONENT, "beta_schedule", error, "a valid schedule"))
    }

    /// The sampler of `steps` steps, as diffusers makes it from this file with its class's `from_config`.
    ///
    /// # Errors
    ///
    /// Those of [`Ddim::new`], [`Ddpm::new`] and [`EulerAncestral::new`].
    pub fn sampler(&self, sampler: Sampler, steps: usize) -> Result<Box<dyn Scheduler>> {
        Ok(match sampler {
            Sampler::Ddim { eta } => Box::new(self.ddim(steps, eta)?),
            Sampler::Ddpm => Box::new(self.ddpm(steps)?),
            Sampler::EulerAncestral => Box::new(self.euler_ancestral(steps)?),
            Sampler::Consistency => Box::new(self.consistency(steps)?),
        })
    }

    /// The DDIM sampler of `steps` steps with noise `eta`.
    ///
    /// # Errors
    ///
    /// Those of [`Ddim::new`].
    pub fn ddim(&self, steps: usize, eta: f64) -> Result<Ddim> {
        let Self { spacing, set_alpha_to_one, clipping, .. } = *self;
        let config = DdimConfig { steps, spacing, eta, set_alpha_to_one, clipping };
        Ddim::new(&self.schedule()?, config).map_err(|error| refuse_steps(steps, error))
    }

    /// The DDPM sampler of `steps` steps.
    ///
    /// # Errors
    ///
    /// Those of [`Ddpm::new`], and a variance that is not the smaller of the paper's.
    pub fn ddpm(&self, steps: usize) -> Result<Ddpm> {
        if let Some(other) = self.variance_type.as_ref().filter(|name| !name.starts_with("fixed_small")) {
            return Err(Error::config(COMPONENT, "variance_type", other, "fixed_small, to sample with DDPM"));
        }
        let config = DdpmConfig { steps, spacing: self.spacing, clipping: self.clipping };
        Ddpm::new(&self.schedule()?, config).map_err(|error| refuse_steps(steps, error))
    }

    /// The Euler-ancestral sampler of `steps` steps. It knows no clipping, and its spacing is linear where the file has none.
    ///
    /// # Errors
    ///
    /// Those of [`EulerAncestral::new`].
    pub fn euler_ancestral(&self, steps: usize) -> Result<EulerAncestral> {
        let spacing = if self.spacing_is_explicit { self.spacing } else { Spacing::Linspace };
        let config = EulerAncestralConfig { steps, spacing };
        EulerAncestral::new(&self.schedule()?, config).map_err(|error| refuse_steps(steps, error))
    }

    /// The chain of consistency models, of `steps` steps.
    ///
    /// # Errors
    ///
    /// Those of [`Consistency::new`].
    pub fn consistency(&self, steps: usize) -> Result<Consistency> {
        let config = ConsistencyConfig { steps, spacing: self.spacing, clipping: self.clipping };
        Consistency::new(&self.schedule()?, config).map_err(|error| refuse_steps(steps, error))
    }

    /// The same noise levels, with steps spread otherwise than the file says.
    #[must_use]
    pub fn spaced(&self, spacing: Spacing) -> Self {
        Self { spacing, spacing_is_explicit: true, ..self.clone() }
    }

    /// The timestep that leading steps end at, as the file says, or Stable Diffusion's.
    #[must_use]
    pub fn steps_offset(&self) -> usize {
        if let Spacing::Leading { offset } = self.spacing { offset } else { 1 }
    }

    /// The `scheduler_config.json` of a `DDIMScheduler` with these settings.
    pub fn to_json(&self) -> Value {
        let (beta_schedule, start, end) = match self.betas {
            BetaSchedule::Linear { start, end } => ("linear", start, end),
            BetaSchedule::ScaledLinear { start, end } => ("scaled_linear", start, end),
            _ => ("squaredcos_cap_v2", 0.0001, 0.02),
        };
        let timestep_spacing = match self.spacing {
            Spacing::Trailing => "trailing",
            Spacing::Linspace => "linspace",
            _ => "leading",
        };
        let prediction_type = match self.prediction {
            PredictionKind::Sample => "sample",
            PredictionKind::Velocity => "v_prediction",
            _ => "epsilon",
        };
        let range = if let Clipping::Range(range) = self.clipping { Some(range) } else { None };
        let mut file = json!({
            "_class_name": "DDIMScheduler",
            "_diffusers_version": crate::DIFFUSERS_VERSION,
            "beta_end": end,
            "beta_schedule": beta_schedule,
            "beta_start": start,
            "clip_sample": range.is_some(),
            "clip_sample_range": range.unwrap_or(1.0),
            "num_train_timesteps": self.num_train_timesteps,
            "prediction_type": prediction_type,
            "rescale_betas_zero_snr": self.rescale_betas_zero_snr,
            "set_alpha_to_one": self.set_alpha_to_one,
            "steps_offset": self.steps_offset,
            "trained_betas": self.trained_betas,
        });
        if self.spacing_is_explicit {
            file["timestep_spacing"] = timestep_spacing.into();
        }
        file
    }
}

/// The sampler's own reason, said once: found and wanted are not wrapped into another found and wanted.
fn refuse_steps(steps: usize, error: ddpo_core::Error) -> Error {
    const ACTION: &str = "lay out the sampler's steps";
    match error {
        ddpo_core::Error::Parameter { name, found, wanted } => {
            Error::Input { action: ACTION, what: name.to_owned(), found, wanted }
        }
        other => Error::input(ACTION, "number of steps", steps, format!("one that fits ({other})")),
    }
}

fn cumulate(betas: &[f64]) -> Vec<f64> {
    let step = |product: &mut f64, beta: &f64| {
        *product *= 1.0 - beta;
        Some(*product)
    };
    betas.iter().scan(1.0, step).collect()
}

fn read_betas(fields: &mut Fields) -> Result<BetaSchedule> {
    let (start, end) = (fields.take("beta_start", 0.0001)?, fields.take("beta_end", 0.02)?);
    let name: String = fields.take("beta_schedule", "linear".to_owned())?;
    match name.as_str() {
        "linear" => Ok(BetaSchedule::Linear { start, end }),
        "scaled_linear" => Ok(BetaSchedule::ScaledLinear { start, end }),
        "squaredcos_cap_v2" => Ok(BetaSchedule::SquaredCosCapV2),
        _ => Err(fields.refuse("beta_schedule", &json!(name), "linear, scaled_linear or squaredcos_cap_v2")),
    }
}

fn read_prediction(fields: &mut Fields) -> Result<PredictionKind> {
    let name: String = fields.take("prediction_type", "epsilon".to_owned())?;
    match name.as_str() {
        "epsilon" => Ok(PredictionKind::Epsilon),
        "sample" => Ok(PredictionKind::Sample),
        "v_prediction" => Ok(PredictionKind::Velocity),
        _ => Err(fields.refuse("prediction_type", &json!(name), "epsilon, sample or v_prediction")),
    }
}

fn read_spacing(fields: &mut Fields, offset: usize) -> Result<Spacing> {
    let name: String = fields.take("timestep_spacing", "leading".to_owned())?;
    match name.as_str() {
        "leading" => Ok(Spacing::Leading { offset }),
        "trailing" => Ok(Spacing::Trailing),
        "linspace" => Ok(Spacing::Linspace),
        _ => Err(fields.refuse("timestep_spacing", &json!(name), "leading, trailing or linspace")),
    }
}

/// Whatever offset a file says, a pipeline takes 1; where it says none, DDIM has none.
fn read_offset(fields: &mut Fields) -> Result<usize> {
    Ok(fields.optional::<usize>("steps_offset")?.map_or(0, |_| 1))
}

/// Whatever a file says of clipping, a pipeline does not clip; where it says nothing, DDIM clips.
fn read_clipping(fields: &mut Fields) -> Result<Clipping> {
    let range = fields.take("clip_sample_range", 1.0)?;
    Ok(fields.optional::<bool>("clip_sample")?.map_or(Clipping::Range(range), |_| Clipping::None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pndm_file_becomes_ddim_with_its_defaults() {
        let json = br#"{"_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
            "num_train_timesteps": 1000, "set_alpha_to_one": false, "skip_prk_steps": true, "steps_offset": 1, "clip_sample": false}"#;
        assert_eq!(SchedulerConfig::from_json(json).unwrap(), SchedulerConfig::default());
    }

    fn read(json: &str) -> Result<SchedulerConfig> {
        SchedulerConfig::from_json(json.as_bytes())
    }

    /// Computed with diffusers 0.35.1: `DDIMScheduler.from_config(pipe.scheduler.config)`, for files of many classes.
    #[test]
    fn outdated_values_are_corrected_as_diffusers_pipelines_do() {
        let of = |more: &str| {
            let config = read(&format!(r#"{{"_class_name": "PNDMScheduler", "skip_prk_steps": true{more}}}"#)).unwrap();
            (config.clipping, config.steps_offset, config.spacing)
        };
        let leading = |offset| Spacing::Leading { offset };
        assert_eq!(of(r#", "clip_sample": true, "steps_offset": 0"#), (Clipping::None, 1, leading(1)));
        assert_eq!(of(r#", "clip_sample": false, "steps_offset": 2"#), (Clipping::None, 1, leading(1)));
        assert_eq!(of(""), (Clipping::Range(1.0), 0, leading(0)));
        assert_eq!(of(r#", "clip_sample_range": 2.0"#).0, Clipping::Range(2.0));
    }

    #[test]
    fn every_scheduler_of_the_same_noise_levels_says_the_same_of_a_model() {
        let levels = r#""beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "set_alpha_to_one": false,
            "steps_offset": 1, "clip_sample": false"#;
        for (class, own) in [
            ("DPMSolverMultistepScheduler", r#""lambda_min_clipped": -Infinity, "variance_type": null"#),
            ("DPMSolverSDEScheduler", r#""noise_sampler_seed": 1, "use_karras_sigmas": true"#),
            (
                "SASolverScheduler",
                r#""predictor_order": 2, "corrector_order": 2, "tau_func": null, "lambda_min_clipped": -Infinity"#,
            ),
            ("TCDScheduler", r#""original_inference_steps": 50, "timestep_scaling": 10.0"#),
            ("DDIMParallelScheduler", r#""sample_max_value": 1.0"#),
        ] {
            let config = read(&format!(r#"{{"_class_name": "{class}", {levels}, {own}}}"#)).unwrap();
            assert_eq!(config, SchedulerConfig::default(), "{class}");
        }
    }

    /// Their noise levels are not those of their betas, or they have none.
    #[test]
    fn schedulers_of_other_noise_levels_are_refused_by_name() {
        for class in ["EDMEulerScheduler", "CogVideoXDDIMScheduler", "IPNDMScheduler", "ScoreSdeVeScheduler"] {
            let error = read(&format!(r#"{{"_class_name": "{class}"}}"#)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`scheduler` config field `_class_name` is \"{class}\"")), "{error}");
        }
        let error = read(r#"{"beta_start": NaN}"#).unwrap_err().to_string();
        assert!(error.contains("`beta_start` is \"NaN\""), "{error}");
    }

    #[test]
    fn an_impossible_eta_is_named() {
        let config = SchedulerConfig::default();
        let error = config.ddim(10, 2.0).unwrap_err().to_string();
        assert!(error.starts_with("cannot lay out the sampler's steps: eta is 2"), "{error}");
    }

    #[test]
    fn what_is_written_reads_back() {
        let config = SchedulerConfig {
            prediction: PredictionKind::Velocity,
            spacing: Spacing::Trailing,
            spacing_is_explicit: true,
            rescale_betas_zero_snr: true,
            ..SchedulerConfig::default()
        };
        let json = config.to_json().to_string();
        assert_eq!(SchedulerConfig::from_json(json.as_bytes()).unwrap(), config);
    }

    /// diffusers' `from_config` gives a class its own default where the file is silent.
    #[test]
    fn a_file_without_spacing_leaves_it_to_the_sampler() {
        let silent = SchedulerConfig::default();
        assert_eq!(silent.euler_ancestral(3).unwrap().timesteps()[1].0, 499.5);
        assert_eq!(silent.ddpm(2).unwrap().timesteps()[0].0, 501.0);
        let explicit = SchedulerConfig { spacing_is_explicit: true, ..silent };
        assert_eq!(explicit.euler_ancestral(3).unwrap().timesteps()[1].0, 334.0);
    }

    #[test]
    fn a_variance_that_is_not_built_is_refused_where_it_is_used() {
        let json = br#"{"_class_name": "DDPMScheduler", "variance_type": "learned_range"}"#;
        let config = SchedulerConfig::from_json(json).unwrap();
        config.ddim(10, 1.0).unwrap();
        let error = config.ddpm(10).unwrap_err().to_string();
        assert_eq!(
            error,
            "`scheduler` config field `variance_type` is learned_range, wanted fixed_small, to sample with DDPM"
        );
    }

    #[test]
    fn a_number_of_steps_is_refused_in_one_sentence() {
        let error = SchedulerConfig::default().ddim(5000, 1.0).unwrap_err().to_string();
        assert_eq!(error, "cannot lay out the sampler's steps: sampling steps is 5000, wanted a number from 1 to 1000");
    }

    #[test]
    fn a_field_of_no_scheduler_is_refused_whatever_the_class() {
        for class in ["DDIMScheduler", "DPMSolverMultistepScheduler"] {
            let json = format!(r#"{{"_class_name": "{class}", "use_karras_sigmas": true, "shift_terminal": 0.1}}"#);
            let error = SchedulerConfig::from_json(json.as_bytes()).unwrap_err().to_string();
            assert_eq!(error, "`scheduler` config field `shift_terminal` is 0.1, wanted no such field, or null");
        }
        let error = SchedulerConfig::from_json(br#"{"use_flow_sigmas": true}"#).unwrap_err().to_string();
        assert!(error.contains("`use_flow_sigmas` is true"), "{error}");
    }

    #[test]
    fn a_flow_scheduler_is_refused() {
        let error = SchedulerConfig::from_json(br#"{"_class_name": "FlowMatchEulerDiscreteScheduler"}"#).unwrap_err();
        assert!(error.to_string().starts_with("`scheduler` config field `_class_name` is \"FlowMatchEuler"), "{error}");
    }
}
