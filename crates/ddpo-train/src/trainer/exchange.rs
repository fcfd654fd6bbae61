//! What ranks have made of their shares of an epoch, put together on all of them.

use burn::tensor::{Device, Tensor, TensorData};
use ddpo_core::{Assessment, Epoch, PromptId, RgbImage, Rollout, SampleId, StepIndex};

use crate::error::{Error, Result};
use crate::prompts::EncodedPrompts;
use crate::ranks::{Ranks, Reader, Writer};

/// Everybody's rollouts in one, in the order of ranks. `mine` is none where a rank had no share.
///
/// # Errors
/// Those of [`Ranks::gather`] and [`Rollout::concat`].
pub(super) fn exchange_rollouts<const D: usize>(
    ranks: &Ranks,
    mine: Vec<Rollout<D>>,
    prompts: &EncodedPrompts,
    device: &Device,
) -> Result<Rollout<D>> {
    if ranks.is_alone() {
        return Ok(Rollout::concat(mine)?);
    }
    let mine = if mine.is_empty() { None } else { Some(Rollout::concat(mine)?) };
    let messages = ranks.gather(&mine.as_ref().map(encode_rollout).transpose()?.unwrap_or_default())?;
    let others = messages.iter().filter(|message| !message.is_empty());
    let rollouts = others.map(|message| decode_rollout(message, prompts, device)).collect::<Result<_>>()?;
    Ok(Rollout::concat(rollouts)?)
}

fn encode_rollout<const D: usize>(rollout: &Rollout<D>) -> Result<Vec<u8>> {
    let mut message = Writer::default();
    message.number(rollout.epoch().0);
    message.numbers(rollout.samples().iter().map(|sample| sample.0));
    message.numbers(rollout.prompts().iter().map(|prompt| prompt.0));
    message.numbers(rollout.steps().iter().map(|step| step.0 as u64));
    message.floats(rollout.log_probs());
    message.numbers(rollout.last_state().dims().iter().map(|&length| length as u64));
    message.number(rollout.states().len() as u64);
    for state in rollout.states() {
        message.floats(&values_of(state)?);
    }
    Ok(message.finish())
}

fn values_of<const D: usize>(state: &Tensor<D>) -> Result<Vec<f32>> {
    state.clone().try_into_vec_as::<f32>().map_err(Error::device)
}

fn decode_rollout<const D: usize>(message: &[u8], prompts: &EncodedPrompts, device: &Device) -> Result<Rollout<D>> {
    let mut message = Reader::new(message);
    let epoch = Epoch(message.number()?);
    let samples = message.numbers()?.into_iter().map(SampleId).collect();
    let ids: Vec<PromptId> = message.numbers()?.into_iter().map(PromptId).collect();
    let steps = message.numbers()?.into_iter().map(|step| StepIndex(step as usize)).collect();
    let log_probs = message.floats()?;
    let lengths: Vec<usize> = message.numbers()?.into_iter().map(|length| length as usize).collect();
    let count = message.count(8)?;
    let states = (0..count).map(|_| state_of(message.floats()?, &lengths, device)).collect::<Result<_>>()?;
    let condition = prompts.condition(&ids)?;
    Ok(Rollout::from_chains(epoch, samples, ids, condition, states, (steps, log_probs))?)
}

fn state_of<const D: usize>(values: Vec<f32>, lengths: &[usize], device: &Device) -> Result<Tensor<D>> {
    let malformed = || Error::Ranks("states of another rank have another shape".into());
    let shape: [usize; D] = lengths.try_into().map_err(|_| malformed())?;
    if values.len() != shape.iter().product::<usize>() {
        return Err(malformed());
    }
    Ok(Tensor::from_data(TensorData::new(values, shape), device))
}

/// Everybody's states `[N, ..]`, in the order of ranks. `mine` is none where a rank had no share.
///
/// # Errors
/// Those of [`Ranks::gather`]; [`Error::Count`] where nobody had one.
pub(super) fn exchange_states<const D: usize>(
    ranks: &Ranks,
    mine: Option<Tensor<D>>,
    device: &Device,
) -> Result<Tensor<D>> {
    let none = Error::Count { what: "states of an epoch", found: 0, wanted: 1 };
    if ranks.is_alone() {
        return mine.ok_or(none);
    }
    let mut message = Writer::default();
    if let Some(states) = &mine {
        message.numbers(states.dims().iter().map(|&length| length as u64));
        message.floats(&values_of(states)?);
    }
    let mut all = Vec::new();
    for message in ranks.gather(&message.finish())?.iter().filter(|message| !message.is_empty()) {
        let mut message = Reader::new(message);
        let lengths: Vec<usize> = message.numbers()?.into_iter().map(|length| length as usize).collect();
        all.push(state_of(message.floats()?, &lengths, device)?);
    }
    if all.is_empty() { Err(none) } else { Ok(Tensor::cat(all, 0)) }
}

/// Everybody's pictures, in the order of ranks.
///
/// # Errors
/// Those of [`Ranks::gather`].
pub(super) fn exchange_images(ranks: &Ranks, mine: Vec<RgbImage>) -> Result<Vec<RgbImage>> {
    if ranks.is_alone() {
        return Ok(mine);
    }
    let mut message = Writer::default();
    message.number(mine.len() as u64);
    for image in &mine {
        message.number(image.width().into());
        message.number(image.height().into());
        message.bytes(image.pixels());
    }
    let mut images = Vec::new();
    for message in ranks.gather(&message.finish())? {
        let mut message = Reader::new(&message);
        for _ in 0..message.count(24)? {
            let (width, height) = (message.number()? as u32, message.number()? as u32);
            images.push(RgbImage::new(width, height, message.bytes()?.to_vec())?);
        }
    }
    Ok(images)
}

/// Everybody's numbers, in the order of ranks.
///
/// # Errors
/// Those of [`Ranks::gather`].
pub(super) fn exchange_numbers(ranks: &Ranks, mine: Vec<f64>) -> Result<Vec<f64>> {
    if ranks.is_alone() {
        return Ok(mine);
    }
    let mut message = Writer::default();
    message.numbers(mine.iter().map(|number| number.to_bits()));
    let messages = ranks.gather(&message.finish())?;
    let numbers = messages.iter().map(|message| Reader::new(message).numbers()).collect::<Result<Vec<_>>>()?;
    Ok(numbers.into_iter().flatten().map(f64::from_bits).collect())
}

/// What was said of batches of pictures, whose rows come first.
pub(super) type SaidOfBatches = Vec<(Vec<usize>, Assessment)>;

/// What everybody's rewards have said, the parts of it by the same reward together, and the batches of a part in the order of their
/// first rows.
///
/// # Errors
/// Those of [`Ranks::gather`].
pub(super) fn exchange_said(ranks: &Ranks, mine: Vec<SaidOfBatches>) -> Result<Vec<SaidOfBatches>> {
    if ranks.is_alone() {
        return Ok(mine);
    }
    let mut message = Writer::default();
    for batches in &mine {
        message.number(batches.len() as u64);
        for (rows, said) in batches {
            message.numbers(rows.iter().map(|&row| row as u64));
            encode_said(&mut message, said);
        }
    }
    let mut all: Vec<SaidOfBatches> = vec![Vec::new(); mine.len()];
    for message in ranks.gather(&message.finish())? {
        let mut message = Reader::new(&message);
        for part in &mut all {
            for _ in 0..message.count(48)? {
                let rows = message.numbers()?.into_iter().map(|row| row as usize).collect();
                part.push((rows, decode_said(&mut message)?));
            }
        }
    }
    all.iter_mut().for_each(|batches| batches.sort_by_key(|(rows, _)| rows.first().copied()));
    Ok(all)
}

fn encode_said(message: &mut Writer, said: &Assessment) {
    let Assessment { values, optimised, left_out, parts, terms, remarks, warnings } = said;
    message.floats(values);
    message.number(optimised.is_some().into());
    message.floats(optimised.as_deref().unwrap_or_default());
    message.numbers(left_out.iter().map(|&row| row as u64));
    message.number(parts.len() as u64);
    for (name, values) in parts {
        message.bytes(name.as_bytes());
        message.floats(values);
    }
    message.number(terms.len() as u64);
    terms.iter().for_each(|values| message.floats(values));
    message.number(remarks.len() as u64);
    for (row, text) in remarks {
        message.number(*row as u64);
        message.bytes(text.as_bytes());
    }
    message.number(warnings.len() as u64);
    warnings.iter().for_each(|text| message.bytes(text.as_bytes()));
}

fn decode_said(message: &mut Reader<'_>) -> Result<Assessment> {
    let values = message.floats()?;
    let is_optimised = message.number()? == 1;
    let optimised = Some(message.floats()?).filter(|_| is_optimised);
    let left_out = message.numbers()?.into_iter().map(|row| row as usize).collect();
    let count = message.count(16)?;
    let parts = (0..count).map(|_| Ok((message.text()?, message.floats()?))).collect::<Result<_>>()?;
    let count = message.count(8)?;
    let terms = (0..count).map(|_| message.floats()).collect::<Result<_>>()?;
    let count = message.count(16)?;
    let remarks = (0..count).map(|_| Ok((message.number()? as usize, message.text()?))).collect::<Result<_>>()?;
    let count = message.count(8)?;
    let warnings = (0..count).map(|_| message.text()).collect::<Result<_>>()?;
    Ok(Assessment { values, optimised, left_out, parts, terms, remarks, warnings })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reward_said_arrives_as_it_was() {
        let said = Assessment {
            values: vec![1.0, f32::NAN],
            optimised: Some(vec![0.5, -0.5]),
            left_out: vec![1],
            parts: [("size".to_owned(), vec![2.0, 3.0])].into(),
            terms: vec![vec![0.25], vec![]],
            remarks: vec![(0, "a fox".to_owned())],
            warnings: vec!["late".to_owned()],
        };
        for said in [said, Assessment::of(vec![7.0])] {
            let mut message = Writer::default();
            encode_said(&mut message, &said);
            let bytes = message.finish();
            let arrived = decode_said(&mut Reader::new(&bytes)).unwrap();
            let bits = |said: &Assessment| said.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&arrived), bits(&said));
            assert_eq!(Assessment { values: vec![], ..arrived }, Assessment { values: vec![], ..said });
        }
    }
}
