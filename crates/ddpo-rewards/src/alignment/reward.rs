//! What a vision-language model sees in a picture, against its prompt.

use std::collections::BTreeMap;

use ddpo_core::{Assessment, Reward, RewardBatch};

use super::chat::Chat;
use super::questions::{PROMPT, broken, questions};
use crate::learned::bert_score::BertScore;
use crate::{Error, Result};

/// How answers become a number.
pub enum Comparison {
    /// BERTScore's recall of the template with the prompt in the answer to one question.
    Recall {
        /// The question.
        question: String,
        /// What the answer is compared with.
        reference: String,
        /// What compares.
        bert_score: Box<BertScore>,
    },
    /// The share of questions that are answered right.
    Strict {
        /// The question about prompts that have none of their own.
        template: String,
    },
}

/// Prompt alignment by a vision-language model.
pub struct Alignment {
    pub chat: Chat,
    pub comparison: Comparison,
}

impl Alignment {
    /// The name of the kind, and of the reward.
    pub const KIND: &'static str = "alignment";

    pub(super) fn judge(&self, batch: &RewardBatch<'_>) -> Result<Assessment> {
        match &self.comparison {
            Comparison::Recall { question, reference, bert_score } => {
                self.recall(batch, question, reference, bert_score)
            }
            Comparison::Strict { template } => self.strict(batch, template),
        }
    }

    fn recall(
        &self,
        batch: &RewardBatch<'_>,
        question: &str,
        reference: &str,
        bert_score: &BertScore,
    ) -> Result<Assessment> {
        let answers = batch.images.iter().map(|image| self.chat.ask(image, question)).collect::<Result<Vec<_>>>()?;
        let references: Vec<String> = batch.prompts.iter().map(|prompt| reference.replace(PROMPT, prompt)).collect();
        let scores =
            bert_score.score(&answers, &references).map_err(|error| Error::Compare { source: error.into() })?;
        // Who says nothing has not been asked as it should be: that is no score, and not a bad one.
        let value = |answer: &String, value: f32| if answer.is_empty() { f32::NAN } else { value };
        let column = |of: &dyn Fn(usize) -> f32| {
            answers.iter().enumerate().map(|(row, answer)| value(answer, of(row))).collect::<Vec<f32>>()
        };
        let recall = column(&|row| scores[row].recall);
        let parts = BTreeMap::from([
            ("precision".to_owned(), column(&|row| scores[row].precision)),
            ("recall".to_owned(), recall.clone()),
            ("f1".to_owned(), column(&|row| scores[row].f1)),
        ]);
        Ok(Assessment {
            values: recall,
            parts,
            remarks: answers.into_iter().enumerate().collect(),
            ..Assessment::default()
        })
    }

    fn strict(&self, batch: &RewardBatch<'_>, template: &str) -> Result<Assessment> {
        let mut said = Assessment::default();
        for (row, (image, prompt)) in batch.images.iter().zip(batch.prompts).enumerate() {
            let metadata = batch.metadata.get(row).map(|known| &**known);
            if metadata.is_some_and(broken) {
                return Err(Error::Questions { prompt: prompt.clone() });
            }
            let questions = questions(prompt, metadata, template);
            let (mut right, mut answers) = (0, Vec::new());
            for question in &questions {
                let answer = self.chat.ask(image, &question.text)?;
                right += usize::from(question.is_answered_by(&answer));
                answers.push(format!("{} {answer}", question.text));
            }
            said.values.push(right as f32 / questions.len() as f32);
            said.remarks.push((row, answers.join(" ")));
        }
        Ok(said)
    }
}

impl Reward for Alignment {
    fn name(&self) -> &str {
        Self::KIND
    }

    fn score(&self, batch: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
        Ok(self.assess(batch)?.values)
    }

    fn assess(&self, batch: &RewardBatch<'_>) -> ddpo_core::Result<Assessment> {
        self.judge(batch).map_err(|error| ddpo_core::Error::reward(Self::KIND, error))
    }
}
