//! `as-asked`: 1 where a picture shows what its prompt names, and 0 where it does not.

use std::sync::Arc;

use ddpo_core::{Judge, Reward, RewardBatch};
use toml::Table;

use super::{Asked, Recogniser};
use crate::{Error, Result, RewardContext, RewardFactory};

const KIND: &str = "as-asked";

/// Makes [`AsAsked`].
pub struct AsAskedFactory;

/// The share of pictures that show what their prompts name, by the judge that is shipped with the model.
#[derive(Debug)]
pub struct AsAsked(Arc<Recogniser>);

impl RewardFactory for AsAskedFactory {
    fn kind(&self) -> &str {
        KIND
    }

    fn about(&self) -> &str {
        "whether a picture shows what its prompt names, by the judge that is shipped with the model: 1 or 0"
    }

    fn check_context(&self, _: &Table, context: &RewardContext) -> Result<()> {
        judge(context).map(drop)
    }

    fn open(&self, _: &Table, context: &RewardContext) -> Result<Judge> {
        Ok(Judge::Image(Box::new(AsAsked(judge(context)?))))
    }
}

/// The judge, which knows something of every prompt.
fn judge(context: &RewardContext) -> Result<Arc<Recogniser>> {
    let recogniser = context.judge_for(KIND)?;
    let is_unknown = |prompt: &&String| Asked::of(prompt, recogniser.config()).is_none();
    match context.prompts.iter().find(is_unknown) {
        Some(prompt) => {
            let reason = format!("the prompt `{prompt}` names nothing that the model's judge knows");
            Err(Error::Recogniser { reason })
        }
        None => Ok(recogniser),
    }
}

impl Reward for AsAsked {
    fn name(&self) -> &str {
        KIND
    }

    fn score(&self, batch: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
        let verdicts =
            self.0.as_asked(batch.images, batch.prompts).map_err(|error| ddpo_core::Error::reward(KIND, error))?;
        Ok(verdicts.into_iter().map(|shown| f32::from(u8::from(shown == Some(true)))).collect())
    }
}
