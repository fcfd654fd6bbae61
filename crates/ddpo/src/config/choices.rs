//! The options that are a choice of names, and the one that is a name or a list.

use std::fmt;

use serde::de::{self, SeqAccess, Visitor, value::SeqAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::options::{Kind, OptionType};

/// Declares an enum whose variants are spelled in kebab-case outside.
macro_rules! choices {
    ($(#[doc = $about:literal])* $name:ident { $( $(#[doc = $doc:literal])* $variant:ident = $text:literal, )* }) => {
        $(#[doc = $about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name { $( $(#[doc = $doc])* #[serde(rename = $text)] $variant, )* }

        impl $name {
            /// Every name, in the order it is documented.
            pub const NAMES: &'static [&'static str] = &[$($text),*];

            /// The name in configuration files and on the command line.
            pub fn name(self) -> &'static str {
                match self { $( Self::$variant => $text, )* }
            }

            /// The choice of this name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $( $text => Some(Self::$variant), )* _ => None }
            }
        }

        impl OptionType for $name {
            const KIND: Kind = Kind::OneOf(Self::NAMES);
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

choices! {
    /// The fine-tuning algorithm.
    Algorithm {
        /// Policy gradient with importance sampling and clipping.
        DdpoIs = "ddpo-is",
        /// Score-function policy gradient, one update an epoch.
        DdpoSf = "ddpo-sf",
        /// Reward-weighted regression.
        Rwr = "rwr",
        /// Regression on the best tenth of each prompt's samples.
        RwrSparse = "rwr-sparse",
        /// Regression on targets that the advantage corrects, from the old policy on.
        Nft = "nft",
        /// The same from the base model on.
        Ram = "ram",
        /// Preference within pairs of samples, for few steps.
        Pso = "pso",
        /// The same for any sampler.
        D3po = "d3po",
        /// Preference between given pictures.
        DiffusionDpo = "diffusion-dpo",
        /// Latent consistency distillation.
        Lcd = "lcd",
    }
}

choices! {
    /// On which sides the ratios of a pair are clipped.
    PairClipChoice {
        /// On both.
        TwoSided = "two-sided",
        /// Where it has gone as far as it should.
        OneSided = "one-sided",
    }
}

choices! {
    /// The timesteps at which given pictures are mixed with noise.
    PairTimesteps {
        /// All that the model was trained with.
        All = "all",
        /// Those that the sampler visits.
        Sampler = "sampler",
    }
}

choices! {
    /// What a pair is compared by, where the reward is a sum.
    PairJudge {
        /// The sum.
        Sum = "sum",
        /// One term, drawn for the pair.
        OneTerm = "one-term",
    }
}

choices! {
    /// How importance sampling keeps updates near the policy that drew the samples.
    TrustRegion {
        /// Ratios are clipped.
        Clip = "clip",
        /// Ratios of the same scale at every step are clipped.
        NormalisedClip = "normalised-clip",
        /// Actions of steps that have moved far enough are left out.
        KlMask = "kl-mask",
    }
}

choices! {
    /// How much the steps of a chain count.
    StepWeights {
        /// As their likelihoods have it.
        Likelihood = "likelihood",
        /// All alike.
        Equal = "equal",
    }
}

choices! {
    /// The quantity whose squared error the forward process counts.
    ErrorSpace {
        /// The clean sample.
        Sample = "sample",
        /// The velocity.
        Velocity = "velocity",
        /// The noise.
        Noise = "noise",
    }
}

choices! {
    /// How the timesteps of the forward process are drawn.
    TimestepChoice {
        /// All alike.
        Uniform = "uniform",
        /// In proportion to their number.
        Linear = "linear",
    }
}

choices! {
    /// Which parameters are trained.
    Parameters {
        /// Low-rank factors beside the attention projections.
        Lora = "lora",
        /// Every parameter of the UNet.
        Full = "full",
    }
}

choices! {
    /// How noise becomes an image.
    SchedulerKind {
        /// DDIM, with the noise that `eta` says.
        Ddim = "ddim",
        /// DDPM.
        Ddpm = "ddpm",
        /// Euler's method with ancestral noise.
        EulerAncestral = "euler-ancestral",
        /// A clean guess and fresh noise at every step.
        Consistency = "consistency",
    }
}

choices! {
    /// How the steps of a sampler are spread over the training timesteps.
    SpacingKind {
        /// As the model's own scheduler file says.
        Model = "model",
        /// Multiples of a whole number of timesteps, from the clean end.
        Leading = "leading",
        /// Counted down from the noisiest timestep.
        Trailing = "trailing",
        /// From the noisiest timestep to the cleanest.
        Linspace = "linspace",
        /// Even in the logarithm of the signal-to-noise ratio.
        LogSnr = "log-snr",
    }
}

choices! {
    /// How prompts are read.
    PromptSyntax {
        /// As they stand, cut off where the text encoder ends: diffusers' way.
        Plain = "plain",
        /// As A1111's web UI reads them: weights, and pieces of any number.
        A1111 = "a1111",
    }
}

choices! {
    /// Whose names an adapter's file has.
    AdapterFormat {
        /// Diffusers and PEFT.
        Diffusers = "diffusers",
        /// kohya's scripts, ComfyUI, A1111.
        Kohya = "kohya",
    }
}

choices! {
    /// The number type of the frozen weights.
    Dtype {
        /// 32-bit floating point.
        F32 = "f32",
        /// 16-bit floating point.
        F16 = "f16",
        /// bfloat16.
        Bf16 = "bf16",
    }
}

choices! {
    /// How pictures are searched for.
    SearchKind {
        /// The best of whole pictures.
        BestOf = "best-of",
        /// At each step the sum of candidates' noises, weighted by how far their rewards are from the mean.
        Demon = "demon",
        /// At each step the sum of candidates' noises, weighted by the softmax of their rewards.
        DemonBoltzmann = "demon-boltzmann",
        /// At each step the best candidate.
        DemonBest = "demon-best",
    }
}

choices! {
    /// Where prompts come from.
    PromptKind {
        /// The 45 animals of the paper.
        SimpleAnimals = "simple-animals",
        /// The 398 animal classes of ImageNet.
        ImagenetAnimals = "imagenet-animals",
        /// An animal of the paper and a thing beside it.
        Compositions = "compositions",
        /// An animal doing one of three activities.
        NounsActivities = "nouns-activities",
        /// A number of animals.
        Counting = "counting",
        /// The lines of a file.
        FromFile = "from-file",
        /// The list in the configuration.
        List = "list",
    }
}

choices! {
    /// How rewards become advantages.
    AdvantageKind {
        /// Running mean and deviation of each prompt.
        PerPrompt = "per-prompt",
        /// Mean and deviation of the whole batch.
        Batch = "batch",
        /// Mean and deviation of the samples of one prompt in the same epoch.
        Group = "group",
    }
}

choices! {
    /// What to do about a loss, a gradient or a reward that is NaN or infinite.
    NonFinitePolicy {
        /// End the run.
        Fail = "fail",
        /// Leave out what it came of and go on.
        Skip = "skip",
    }
}

choices! {
    /// How elementwise log-probabilities become one number a sample.
    Reduction {
        /// Mean over all but the batch.
        Mean = "mean",
        /// Sum over all but the batch.
        Sum = "sum",
    }
}

/// Where evaluation prompts come from.
#[derive(Clone, Debug, PartialEq)]
pub enum EvalPrompts {
    /// `held-out`, or the name of another kind of prompts.
    Kind(String),
    /// The prompts themselves.
    List(Vec<String>),
}

impl EvalPrompts {
    /// The name of the default: a part of the training prompts that training never uses.
    pub const HELD_OUT: &'static str = "held-out";
}

impl OptionType for EvalPrompts {
    const KIND: Kind = Kind::Any("`\"held-out\"`, a kind of prompts, or a list of prompts");
}

impl Default for EvalPrompts {
    fn default() -> Self {
        Self::Kind(Self::HELD_OUT.into())
    }
}

impl Serialize for EvalPrompts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Kind(name) => serializer.serialize_str(name),
            Self::List(prompts) => prompts.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for EvalPrompts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KindOrList;
        impl<'de> Visitor<'de> for KindOrList {
            type Value = EvalPrompts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"held-out\", a kind of prompts or a list of prompts")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<EvalPrompts, E> {
                Ok(EvalPrompts::Kind(name.into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, prompts: A) -> Result<EvalPrompts, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(prompts)).map(EvalPrompts::List)
            }
        }
        deserializer.deserialize_any(KindOrList)
    }
}
